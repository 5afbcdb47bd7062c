/**
 * The boot frame, and the exchange with guests that answer the frame with one line: zygotes and installers. See
 * docs/guest-protocol.md.
 */
import type { Socket } from 'node:net';
import { ArgyleError } from '../errors';
import { describeDeath } from './death';
import type { InstallerBoot, LeafBoot, SandboxExit, ZygoteBoot } from './types';

/** Default limit for the length of an answer, in bytes. Parsing an answer of this length takes at most 5 ms. */
const ANSWER_BYTES = 512 * 1024;
/**
 * A dead guest's socket may still deliver what the guest wrote before. The worker waits this long for the rest, in ms.
 */
export const FINAL_OUTPUT_MS = 50;

export function bootFrame(boot: LeafBoot | ZygoteBoot | InstallerBoot): Buffer {
  const body = Buffer.from(JSON.stringify(boot), 'utf8');
  return Buffer.concat([Buffer.from(`ARGYLE-BOOT/1 ${body.length}\n`, 'latin1'), body]);
}

export interface AskOptions {
  /** Time limit in ms; 0 means no limit. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** Limit for the length of the answer, in bytes. */
  maxBytes?: number;
  /** Name of the exchange, used in error messages. */
  what: string;
}

/** The host of a guest: a slot or a container. */
export interface AskedHost {
  readonly exited: Promise<SandboxExit>;
  /** Set when `exited` resolves. */
  readonly exit: SandboxExit | undefined;
  connect(): Socket;
}

/**
 * Connects to a guest, writes the boot frame and returns the guest's one-line JSON answer. The call is allowed before
 * the guest runs. The guest controls the shape of the answer, so callers check every field that they use.
 *
 * @throws ArgyleError SANDBOX_DEAD when the guest ends without an answer; TIMEOUT; SANDBOX_CREATE when the answer is
 *   not JSON or is too long.
 */
export function askGuest(slot: AskedHost, boot: ZygoteBoot | InstallerBoot, options: AskOptions): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = slot.connect();
    const chunks: Buffer[] = [];
    let length = 0;
    const { maxBytes = ANSWER_BYTES } = options;
    let settled = false;
    const timers: NodeJS.Timeout[] = [];
    const abort = (): void => {
      settle(new ArgyleError('SHUTTING_DOWN', `${options.what} was cancelled`));
    };
    const settle = (error: ArgyleError | undefined, answer?: unknown): void => {
      if (settled) return;
      settled = true;
      timers.forEach(clearTimeout);
      options.signal?.removeEventListener('abort', abort);
      socket.destroy();
      if (error === undefined) resolve(answer);
      else reject(error);
    };
    const died = (): void => {
      const why = slot.exit === undefined ? 'it closed the connection' : describeDeath(slot.exit);
      settle(new ArgyleError('SANDBOX_DEAD', `${options.what} gave no answer: ${why}`));
    };
    socket.on('error', () => undefined);
    // The socket may close before the helper reports the cause of death. After the delay, the error can name this
    // cause.
    socket.on('close', () => timers.push(setTimeout(died, slot.exit === undefined ? FINAL_OUTPUT_MS : 0)));
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > maxBytes) {
        settle(new ArgyleError('SANDBOX_CREATE', `${options.what} answered with more than ${maxBytes} bytes`));
        return;
      }
      if (chunk.includes(10)) settle(...parse(options.what, Buffer.concat(chunks)));
    });
    void slot.exited.then(() => timers.push(setTimeout(died, FINAL_OUTPUT_MS)));
    if (options.timeoutMs > 0) {
      const late = new ArgyleError('TIMEOUT', `${options.what} gave no answer within ${options.timeoutMs} ms`);
      timers.push(
        setTimeout(() => {
          settle(late);
        }, options.timeoutMs),
      );
    }
    if (options.signal?.aborted === true) {
      abort();
      return;
    }
    options.signal?.addEventListener('abort', abort);
    socket.write(bootFrame(boot));
  });
}

function parse(what: string, bytes: Buffer): [ArgyleError | undefined, unknown?] {
  try {
    return [undefined, JSON.parse(bytes.toString('utf8', 0, bytes.indexOf(10))) as unknown];
  } catch (cause) {
    return [new ArgyleError('SANDBOX_CREATE', `${what} answered with malformed JSON`, { cause })];
  }
}
