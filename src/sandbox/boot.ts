/** The boot frame, and guests that answer it with one line: zygotes and installers. docs/guest-protocol.md. */
import type { Socket } from 'node:net';
import { ArgyleError } from '../errors';
import { describeDeath } from './death';
import type { InstallerBoot, LeafBoot, SandboxExit, ZygoteBoot } from './types';

/** Longest answer that is read unless the caller says otherwise, bytes. Parsed within 5 ms. */
const ANSWER_BYTES = 512 * 1024;
/** After a guest's death its socket may still deliver what it wrote; this long is waited for that, ms. */
export const LAST_WORDS_MS = 50;

export function bootFrame(boot: LeafBoot | ZygoteBoot | InstallerBoot): Buffer {
  const body = Buffer.from(JSON.stringify(boot), 'utf8');
  return Buffer.concat([Buffer.from(`ARGYLE-BOOT/1 ${body.length}\n`, 'latin1'), body]);
}

export interface AskOptions {
  /** 0 waits for ever. */
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** Longest answer that is read, bytes. */
  maxBytes?: number;
  /** What is being asked, for errors. */
  what: string;
}

/** A slot, or whatever else has a guest to be asked. */
export interface AskedHost {
  readonly exited: Promise<SandboxExit>;
  /** Set with `exited`. */
  readonly exit: SandboxExit | undefined;
  connect(): Socket;
}

/**
 * Connects to a guest, writes the boot frame and returns the guest's one-line JSON answer. May be called before the
 * guest runs. The answer's shape is the guest's word, so callers check what they rely on.
 *
 * @throws ArgyleError SANDBOX_DEAD when the guest ended without an answer, TIMEOUT, SANDBOX_CREATE for an answer that
 *   is no JSON or too long.
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
    // The socket closes a moment before the helper reports why; waiting for the reason makes the better error.
    socket.on('close', () => timers.push(setTimeout(died, slot.exit === undefined ? LAST_WORDS_MS : 0)));
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > maxBytes) {
        settle(new ArgyleError('SANDBOX_CREATE', `${options.what} answered with more than ${maxBytes} bytes`));
        return;
      }
      if (chunk.includes(10)) settle(...parse(options.what, Buffer.concat(chunks)));
    });
    void slot.exited.then(() => timers.push(setTimeout(died, LAST_WORDS_MS)));
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
