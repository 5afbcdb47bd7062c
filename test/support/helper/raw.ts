/** Sends raw requests of the helper's protocol, including requests that the worker would never send. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, readFileSync, readSync, readdirSync, rmSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import { join } from 'node:path';
import { loadArgyle } from '../../../src/helper/ffi';
import {
  COMPLETION_BYTES,
  Flag,
  Kind,
  Network,
  Pool,
  REQUEST_BYTES,
  Role,
  Verb,
  decodeCompletion,
  encodeRequest,
  type Completion,
  type RequestFields,
  type VerbName,
} from '../../../src/helper/protocol';
import { ROOT } from './build';
import type { Fixture } from './fixture';
import { sendWithFds } from './libc';

const argyle = loadArgyle(join(ROOT, 'build/libargyle.so'));

export interface RawOptions {
  binary?: string;
  /** Default: `--config` with the fixture's file. */
  args?: readonly string[];
  /** A command that executes the helper: setpriv, prlimit, unshare. */
  wrapper?: readonly string[];
  env?: Record<string, string>;
}

export interface Ending {
  code: number | null;
  signal: string | null;
  stderr: string;
}

/** Bytes of one request, which a test may then corrupt. */
export function requestBytes(verb: number, seq: number, fields: RequestFields = {}): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES);
  encodeRequest(bytes, verb, seq, fields);
  return bytes;
}

export const LIMITS = [64 * 2 ** 20, 24, 100, 0, 8 * 2 ** 20];

export class RawHelper {
  readonly child: ChildProcess;
  readonly control: number;
  readonly ended: Promise<Ending>;
  /** EXIT events, and replies that no caller waits for. */
  readonly events: Completion[] = [];
  readonly logs = new Map<number, number>();
  private readonly waiting = new Map<number, (completion: Completion) => void>();
  private dirFd = -1;
  private readonly pipe: Socket;
  private stderr = '';
  private seq = 1000;
  private isOpen = true;
  private isOver = false;

  constructor(
    readonly fixture: Fixture,
    options: RawOptions = {},
  ) {
    const channel = argyle.channel();
    this.control = channel.control;
    const args = options.args ?? ['--config', fixture.conf];
    const [command = '', ...rest] = [
      ...(options.wrapper ?? []),
      options.binary ?? process.env['ARGYLE_TEST_HELPER'] ?? join(ROOT, 'build/sandbox-helper'),
      ...args,
    ];
    this.child = spawn(command, rest, {
      stdio: ['ignore', 'ignore', 'pipe', channel.helperControl, channel.helperEvents],
      env: options.env ?? {},
    });
    closeSync(channel.helperControl);
    closeSync(channel.helperEvents);
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.pipe = new Socket({ fd: channel.events, readable: true, writable: false });
    let partial = Buffer.alloc(0);
    this.pipe.on('data', (chunk: Buffer) => {
      partial = Buffer.concat([partial, chunk]);
      for (; partial.length >= COMPLETION_BYTES; partial = partial.subarray(COMPLETION_BYTES)) this.take(partial);
    });
    this.pipe.on('error', () => undefined);
    this.ended = once(this.child, 'close').then(([code, signal]) => {
      this.isOver = true;
      for (const resolve of this.waiting.values()) resolve({ ...GONE });
      this.waiting.clear();
      return { code: code as number | null, signal: signal as string | null, stderr: this.stderr };
    });
  }

  private take(bytes: Buffer): void {
    const completion = decodeCompletion(bytes);
    if (completion === undefined) throw new Error('a record of another magic or version');
    const resolve = completion.kind === Kind.REPLY ? this.waiting.get(completion.seq) : undefined;
    this.waiting.delete(completion.seq);
    if (resolve === undefined) this.events.push(completion);
    else resolve(completion);
  }

  /** Sends bytes unchanged. */
  send(bytes: Buffer, fds: readonly number[] = []): boolean {
    return sendWithFds(this.control, bytes, fds);
  }

  /** The reply with this sequence number. Its code is -1 after the helper's end or `timeoutMs`. */
  reply(seq: number, timeoutMs = 10_000): Promise<Completion> {
    if (this.isOver) return Promise.resolve({ ...GONE });
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.waiting.delete(seq);
        const late = { ...GONE, seq, detail: LATE };
        this.events.push(late);
        resolve(late);
      }, timeoutMs);
      this.waiting.set(seq, (completion) => {
        clearTimeout(timer);
        resolve(completion);
      });
    });
  }

  call(verb: VerbName, fields: RequestFields = {}, fds: readonly number[] = []): Promise<Completion> {
    const seq = ++this.seq;
    const answer = this.reply(seq);
    this.sendOnce(seq, requestBytes(Verb[verb], seq, fields), fds);
    return answer;
  }

  /** Retries until the socket has space. If the helper has ended, the wait for the reply ends, too. */
  private sendOnce(seq: number, bytes: Buffer, fds: readonly number[]): void {
    if (this.send(bytes, fds) || !this.waiting.has(seq)) return;
    setTimeout(() => {
      this.sendOnce(seq, bytes, fds);
    }, 1);
  }

  hello(more: RequestFields = {}): Promise<Completion> {
    const name = ['worker', 'packages', 'base', this.fixture.cgroupName];
    return this.call('HELLO', { flags: Flag.HOST_USR, arg: [0, 0, 0], name, ...more });
  }

  /** Sends HELLO and both NETWORK requests. */
  async greet(flags: number = Flag.HOST_USR, mode: number = Network.OUTBOUND): Promise<void> {
    for (const reply of [
      await this.hello({ flags }),
      await this.call('NETWORK', { arg: [mode, Pool.LAMBDA] }),
      await this.call('NETWORK', { arg: [mode === Network.HOST ? mode : Network.OUTBOUND, Pool.INSTALL] }),
    ])
      if (reply.code !== 0) throw new Error(`helper: ${JSON.stringify(reply)} ${this.stderr}`);
  }

  /** Makes a listening socket and a log pipe for the slot. */
  slotFds(slot: number): { listen: number; log: number } {
    rmSync(join(this.fixture.dir, `worker/scratch/${slot}.sock`), { force: true });
    if (this.dirFd < 0) this.dirFd = argyle.openDir(join(this.fixture.dir, 'worker/scratch'));
    const fds = argyle.slotFds(this.dirFd, `${slot}.sock`);
    const old = this.logs.get(slot);
    if (old !== undefined) closeSync(old);
    this.logs.set(slot, fds.logRead);
    // A slot that is made with two descriptors sends its errors to the log.
    closeSync(fds.errRead);
    closeSync(fds.errWrite);
    return { listen: fds.listen, log: fds.logWrite };
  }

  async slot(slot: number, pool: number = Pool.LAMBDA, arg: readonly number[] = LIMITS): Promise<Completion> {
    const { listen, log } = this.slotFds(slot);
    const reply = await this.call('SLOT', { slot, role: pool, arg }, [listen, log]);
    closeSync(listen);
    closeSync(log);
    return reply;
  }

  /** The guest's output so far. */
  log(slot: number): string {
    const fd = this.logs.get(slot);
    const buffer = Buffer.alloc(1 << 16);
    let text = '';
    for (let n = 1; fd !== undefined && n > 0; text += buffer.toString('utf8', 0, n)) {
      try {
        n = readSync(fd, buffer);
      } catch {
        break;
      }
    }
    return text;
  }

  /** Connects to the slot, sends the boot frame and `request`, and returns everything up to `end`. */
  exchange(slot: number, boot: object, request: string, end: RegExp | string, timeoutMs = 10_000): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect(join(this.fixture.dir, `worker/scratch/${slot}.sock`));
      const body = JSON.stringify(boot);
      let text = '';
      const done = (): void => {
        clearTimeout(timer);
        socket.destroy();
        resolve(text);
      };
      const timer = setTimeout(done, this.isOver ? 0 : timeoutMs);
      socket.on('error', done).on('close', done);
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
        if (typeof end === 'string' ? text.includes(end) : end.test(text)) done();
      });
      socket.write(`ARGYLE-BOOT/1 ${Buffer.byteLength(body)}\n${body}${request}`);
    });
  }

  /** Boots a leaf and runs its handler once. Call this before or after SPAWN, FORK or GO. */
  async invoke(slot: number, event: unknown, timeoutMs = 10_000): Promise<string> {
    const boot = { role: 'leaf', name: 'x', entry_file: 'f.py', sys_path: [], env: {} };
    const body = JSON.stringify(event);
    const head = `POST /run/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
    const text = await this.exchange(slot, boot, head + body, /\r\n\r\n$^/, timeoutMs);
    return text.slice(text.indexOf('\r\n\r\n') + 4);
  }

  /** Starts a zygote. @returns its report */
  async zygote(slot: number, more: object = {}, arg: readonly number[] = [256 * 2 ** 20, 0, 0, 0, 0]): Promise<string> {
    await this.slot(slot, Pool.LAMBDA, arg);
    const report = this.exchange(slot, { role: 'zygote', sys_path: [], imports: [], ...more }, '', '\n');
    const reply = await this.call('SPAWN', { slot, role: Role.ZYGOTE });
    if (reply.code !== 0) throw new Error(`zygote: ${JSON.stringify(reply)}`);
    return report;
  }

  /**
   * `value` contains the numbers of used slots, descriptors, mounts and waiting slots, in this order. The helper counts
   * the slots. This function counts the helper's descriptors and mounts.
   */
  async diag(): Promise<Completion> {
    const reply = await this.call('DIAG');
    const proc = `/proc/${this.child.pid ?? 0}`;
    if (reply.code !== 0 || this.isOver) return reply;
    const [slots = 0, waiting = 0] = reply.value;
    const mounts = readFileSync(`${proc}/mountinfo`, 'utf8').split('\n').length;
    return { ...reply, value: [slots, readdirSync(`${proc}/fd`).length, mounts, waiting] };
  }

  /** Call this at a test's end. Closes the helper, checks that no cgroup is left, and removes the fixture. */
  async finish(): Promise<void> {
    await this.close();
    expect(this.fixture.cgroups()).toEqual([]);
    this.fixture.remove();
  }

  /** Closes the control socket and waits for the helper to end. */
  async close(): Promise<Ending> {
    if (this.isOpen) closeSync(this.control);
    this.isOpen = false;
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 15_000);
    const ending = await this.ended;
    clearTimeout(timer);
    this.pipe.destroy();
    if (this.dirFd >= 0) closeSync(this.dirFd);
    this.dirFd = -1;
    for (const fd of this.logs.values()) closeSync(fd);
    this.logs.clear();
    return ending;
  }
}

/** Detail of the completion that stands for a missing reply. */
export const LATE = 'no answer in time';
const GONE: Completion = { kind: 1, seq: 0, slot: 0, code: -1, errno: 0, stage: 0, value: [], detail: 'helper ended' };
