/**
 * The worker's connection to the helper: one child process, one control socket, one completion pipe.
 *
 * A request is encoded into a reused buffer and sent by one non-blocking FFI call. Node's event loop reads the
 * completion from the pipe and settles the promise. A full control socket (-EAGAIN) queues requests, in order.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ArgyleError } from '../errors';
import type { Argyle, Channel } from './ffi';
import type { PoolNetwork } from './session';
import { describeExit } from './errors';
import { Completions, type ExitListener } from './completions';
import { REQUEST_BYTES, Verb, encodeRequest, type Completion, type RequestFields, type VerbName } from './protocol';

export interface HelperOptions {
  argyle: Argyle;
  /** Path of the sandbox-helper executable. */
  helperPath: string;
  /** Arguments, e.g. `--config PATH` when started as root. */
  args?: readonly string[];
  /** Fields of AG_HELLO, with paths relative to their roots; see session.ts. */
  hello: RequestFields;
  /** Fields of AG_RULE and AG_NETWORK, one entry per pool. */
  network: readonly PoolNetwork[];
  /** Time limit of the helper's first answers, ms. Default START_TIMEOUT_MS. */
  startTimeoutMs?: number;
}

interface Unsent {
  seq: number;
  bytes: Buffer;
  fds: readonly number[];
}

/** Delay before a request is retried on a full socket, ms. The helper drains the socket within microseconds. */
const RETRY_MS = 1;
/** Linux's numbers, equal on every architecture that Node supports. */
const [EAGAIN, EPIPE] = [11, 32];
/** Time limit of the helper's first answers, ms. */
const START_TIMEOUT_MS = 10_000;
/** Time limit for the end of a helper whose start failed, ms. */
const END_TIMEOUT_MS = 2_000;
/** Time limit between the pipe's end and the exit code, in either order, ms. */
const EXIT_CODE_MS = 100;
/** Time limit of the helper's clean-up in close(), ms; then the helper is killed. Thousands of slots need seconds. */
const CLOSE_TIMEOUT_MS = 30_000;

export class HelperClient {
  private readonly completions: Completions;
  private readonly unsent: Unsent[] = [];
  private readonly goneListeners: ((error: ArgyleError) => void)[] = [];
  private readonly scratch = Buffer.alloc(REQUEST_BYTES);
  private readonly exited: Promise<void>;
  private seq = 0;
  private ending: string | undefined;
  private failure: ArgyleError | undefined;
  private controlOpen = true;

  private constructor(
    private readonly argyle: Argyle,
    private readonly child: ChildProcess,
    private readonly channel: Channel,
  ) {
    const events = new Socket({ fd: channel.events, readable: true, writable: false });
    const drained = new Promise<void>((resolve) =>
      events.once('close', () => {
        resolve();
      }),
    );
    this.completions = new Completions(() => {
      this.ending ??= 'it sent a record of another protocol';
      this.child.kill('SIGKILL');
    });
    events.on('data', (chunk: Buffer) => {
      this.completions.receive(chunk);
    });
    events.on('error', () => undefined);
    this.exited = new Promise<void>((resolve) => {
      child.once('error', (error) => {
        this.ending ??= error.message;
        events.destroy();
        resolve();
      });
      child.once('exit', (code, signal) => {
        this.ending ??= describeExit(code, signal);
        resolve();
      });
    }).then(() => Promise.race([drained, sleep(EXIT_CODE_MS)])); // a child of the helper may keep the pipe open for longer
    // The pipe ends shortly before or after the exit code is known. Either event means that the helper has ended.
    events.once('end', () => {
      this.lose();
      setTimeout(() => {
        this.gone();
      }, EXIT_CODE_MS).unref();
    });
    void this.exited.then(() => {
      this.gone();
    });
  }

  /**
   * Starts the helper, negotiates the session and sets up the network.
   *
   * @throws ArgyleError HELPER_START with the stage of the failure; HELPER_DENIED for a refused root; HELPER_PROTOCOL
   * for different versions
   */
  static async start(options: HelperOptions): Promise<HelperClient> {
    const { argyle } = options;
    const channel = argyle.channel();
    let child: ChildProcess;
    try {
      child = spawn(options.helperPath, [...(options.args ?? [])], {
        stdio: ['ignore', 'inherit', 'inherit', channel.helperControl, channel.helperEvents],
        env: {},
      });
    } catch (cause) {
      closeSync(channel.control);
      closeSync(channel.events);
      throw new ArgyleError('HELPER_START', `cannot start ${options.helperPath}`, { cause });
    } finally {
      closeSync(channel.helperControl);
      closeSync(channel.helperEvents);
    }
    const client = new HelperClient(argyle, child, channel);
    const timeoutMs = options.startTimeoutMs ?? START_TIMEOUT_MS;
    const timer = setTimeout(() => {
      client.ending ??= `it gave no answer within ${timeoutMs} ms`;
      child.kill('SIGKILL');
      client.gone();
    }, timeoutMs);
    try {
      await client.request('HELLO', options.hello);
      for (const { rules, network } of options.network)
        await Promise.all([...rules.map((one) => client.request('RULE', one)), client.request('NETWORK', network)]);
    } catch (thrown) {
      client.closeControl();
      // Time limit: this user may not kill a root helper, and a hung helper does not notice its closed socket.
      await Promise.race([client.exited, sleep(END_TIMEOUT_MS, undefined, { ref: false })]);
      if (thrown instanceof ArgyleError && thrown.code !== 'HELPER_GONE') throw thrown;
      throw new ArgyleError('HELPER_START', `${options.helperPath}: ${client.ending ?? 'ended'}`, { cause: thrown });
    } finally {
      clearTimeout(timer);
    }
    return client;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** True when the helper has ended or is being closed. */
  get isGone(): boolean {
    return this.failure !== undefined || !this.controlOpen;
  }

  /**
   * Sends one request and resolves with its completion.
   *
   * @param fds at most MAX_FDS descriptors; the caller keeps them open until the promise settles
   * @throws ArgyleError for the completion's code (errors.ts), or HELPER_GONE
   */
  request(verb: VerbName, fields: RequestFields = {}, fds: readonly number[] = []): Promise<Completion> {
    return new Promise((resolve, reject) => {
      if (this.isGone) {
        reject(this.failure ?? new ArgyleError('HELPER_GONE', 'the sandbox helper is gone'));
        return;
      }
      const seq = ++this.seq;
      encodeRequest(this.scratch, Verb[verb], seq, fields);
      this.completions.expect(seq, { verb, resolve, reject });
      if (this.unsent.length > 0 || !this.send(seq, this.scratch, fds)) {
        this.unsent.push({ seq, bytes: Buffer.from(this.scratch), fds });
        if (this.unsent.length === 1)
          setTimeout(() => {
            this.flush();
          }, RETRY_MS);
      }
    });
  }

  /**
   * Calls `listener` once when the slot's first process ends. The argument is undefined when the helper itself has
   * ended.
   */
  onExit(slot: number, listener: ExitListener): void {
    this.completions.onExit(slot, listener);
  }

  offExit(slot: number): void {
    this.completions.offExit(slot);
  }

  /** Calls `listener` once when the helper ends without close(). */
  onGone(listener: (error: ArgyleError) => void): void {
    if (this.failure !== undefined) listener(this.failure);
    else this.goneListeners.push(listener);
  }

  /** Closes the control socket. The helper then kills every sandbox, cleans up and exits. Resolves at its exit. */
  async close(): Promise<void> {
    this.goneListeners.length = 0;
    this.closeControl();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), CLOSE_TIMEOUT_MS);
    await this.exited;
    clearTimeout(timer);
  }

  private closeControl(): void {
    if (!this.controlOpen) return;
    this.controlOpen = false;
    closeSync(this.channel.control);
  }

  /** Returns true when the request needs no queueing: it was sent, or it failed and was settled. */
  private send(seq: number, bytes: Buffer, fds: readonly number[]): boolean {
    const result = this.argyle.submit(this.channel.control, bytes, fds);
    if (result === -EAGAIN) return false;
    if (result < 0) {
      this.completions.reject(seq, new ArgyleError('HELPER_GONE', `cannot reach the helper: errno ${-result}`));
      if (result === -EPIPE) this.lose(); // the pipe's end comes later; until then callers would retry in a loop
    }
    return true;
  }

  private flush(): void {
    if (!this.controlOpen) return;
    for (let next = this.unsent[0]; next !== undefined; next = this.unsent[0]) {
      if (!this.send(next.seq, next.bytes, next.fds)) {
        setTimeout(() => {
          this.flush();
        }, RETRY_MS);
        return;
      }
      this.unsent.shift();
    }
  }

  /** Handles the helper's end before its cause is known: sends nothing more and counts every sandbox as dead. */
  private lose(): void {
    this.closeControl();
    this.unsent.length = 0;
    this.completions.endSlots();
  }

  private gone(): void {
    if (this.failure !== undefined) return;
    const error = new ArgyleError('HELPER_GONE', `the sandbox helper is gone: ${this.ending ?? 'its pipe closed'}`);
    this.failure = error;
    this.lose();
    this.completions.rejectAll(error);
    for (const listener of this.goneListeners.splice(0)) listener(error);
  }
}
