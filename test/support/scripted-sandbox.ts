/** A sandbox without a process and a client without a connection. Each test scripts their behaviour. */
import { setImmediate as turn } from 'node:timers/promises';
import { Call } from '../../src/lambda/serve/call/call';
import { Cancellation } from '../../src/lambda/serve/call/cancellation';
import { InvocationBody, type Invocation, type ResponseSink } from '../../src/lambda/serve/call/invocation';
import type { AnswerControl, AnswerHandler } from '../../src/sandbox/answer/guard';
import type { AnswerHead } from '../../src/sandbox/answer/head';
import { GuardedSandbox, type GuardOptions } from '../../src/sandbox/guarded';
import { Lease } from '../../src/sandbox/lease';
import { Life } from '../../src/sandbox/life';
import { MemoryPool } from '../../src/sandbox/memory/memory-pool';
import { StatsRegistry } from '../../src/metrics';
import type { PlainSandbox, SandboxExit, SandboxLimits, SandboxUsage } from '../../src/sandbox/types';

export const LIMITS: SandboxLimits = { memMb: 50, procs: 10, cpuPercent: 100, swapBytes: 0, scratchMb: 64 };

/** One request to a sandbox. */
export class ScriptedRequest {
  aborted: Error | undefined;
  paused = 0;
  resumed = 0;
  private readonly control: AnswerControl = {
    abort: (reason) => {
      this.aborted = reason;
    },
    pause: () => this.paused++,
    resume: () => this.resumed++,
  };

  constructor(
    readonly path: string,
    readonly handler: AnswerHandler,
  ) {}

  /** Reports that the request was sent. */
  sent(): this {
    this.handler.onStart(this.control);
    return this;
  }

  head(status = 200, headers: readonly string[] = []): this {
    this.handler.onHead({ status, reason: 'OK', headers: [...headers], length: undefined, bodiless: false });
    return this;
  }

  /** Sends a whole answer. */
  answer(text: string): void {
    this.sent().head();
    this.handler.onData(Buffer.from(text));
    this.handler.onEnd();
  }

  fail(code: string): void {
    this.handler.onError(Object.assign(new Error(code), { code }));
  }
}

/** A plain sandbox; guard() makes the moves of its life. */
export class ScriptedSandbox implements PlainSandbox {
  readonly pid = 1;
  readonly parentPid = undefined;
  readonly start = 'fresh';
  readonly limits = LIMITS;
  readonly life = new Life();
  readonly requests: ScriptedRequest[] = [];
  /** Names of the calls that changed the sandbox, in order. */
  readonly calls: string[] = [];
  /** Whether the guest is frozen in fact. */
  frozen = false;
  memBytes = 10 * 1024 * 1024;
  /** A promise that pause(), resume() and destroy() wait for. */
  hold: Promise<void> | undefined;

  constructor(readonly id = '1') {}

  dispatch({ path }: { path: string }, handler: AnswerHandler): void {
    this.calls.push('dispatch');
    this.requests.push(new ScriptedRequest(path, handler));
  }

  async pause(): Promise<void> {
    this.calls.push('pause');
    await this.hold;
    this.frozen = true;
  }

  async resume(): Promise<void> {
    this.calls.push('resume');
    await this.hold;
    this.frozen = false;
  }

  usage(): Promise<SandboxUsage> {
    const counts = { pids: 1, oomKills: 0, threads: 1, pid: 1 };
    return Promise.resolve({ memBytes: this.memBytes, cpuUsec: 0, frozen: this.frozen, ...counts });
  }

  async destroy(reason: string): Promise<void> {
    this.life.finish('owner', reason);
    this.calls.push('destroy');
    await this.hold;
  }

  /** Makes the sandbox's first process end by itself. */
  end(exit: Partial<SandboxExit> = {}, why = 'its first process ended'): void {
    this.life.finish(exit.lost === true ? 'helper' : 'itself', why, { oomKills: 0, status: 0, ...exit });
  }

  debugString(): Promise<string> {
    return Promise.resolve(`SOCK ${this.id}\n`);
  }
}

/** A scripted sandbox in a GuardedSandbox, with 50 MB of its own memory pool. */
export function guard(inner: ScriptedSandbox, options: Partial<GuardOptions> = {}): GuardedSandbox {
  const stats = new StatsRegistry();
  const pool = new MemoryPool({ totalMb: 1000, timeoutMs: 60, stats });
  const lease = new Lease(pool.tryAcquire(LIMITS.memMb, 'instance'));
  const rest = { chargeMb: LIMITS.memMb, downsizePaused: true, savesMs: () => 10 };
  return new GuardedSandbox(inner, { pool, lease, stats, ...rest, ...options });
}

/** Runs everything that is ready to run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

/** A client that stores the response. */
export class ScriptedClient implements ResponseSink {
  status = 0;
  headers: readonly string[] = [];
  text = '';
  /** How the answer ended: true for a whole answer, otherwise the failure. */
  ended: true | string | undefined;
  /** Makes write() report a slow client, until drain(). */
  slow = false;
  private resume: (() => void) | undefined;
  private readonly cancellation = new Cancellation();

  /** The client's request. @param body bytes that have arrived already */
  invocation(path = '/run/f', body = '', method = 'POST', headers: readonly string[] = []): Invocation {
    return {
      call: new Call('c1', 'http'),
      method,
      uri: path,
      headers,
      body: InvocationBody.of(Buffer.from(body)),
      sink: this,
      signal: this.cancellation,
    };
  }
  leave(): void {
    this.cancellation.abort();
  }
  drain(): void {
    this.slow = false;
    this.resume?.();
  }
  start({ status, headers }: AnswerHead): void {
    [this.status, this.headers] = [status, headers];
  }
  write(chunk: Buffer): boolean {
    this.text += chunk.toString();
    return !this.slow;
  }
  onDrain(resume: () => void): void {
    this.resume = resume;
  }
  end(): void {
    this.ended = true;
  }
  fail(text: string): void {
    this.ended = text;
  }
}
