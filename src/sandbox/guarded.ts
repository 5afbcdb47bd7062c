/**
 * The sandbox that callers hold: a state machine around the plain one, and its share of the memory pool.
 *
 *   running ⇄ paused, and from both to dead, which is final.
 *
 * pause(), resume() and the pool's own pauses run one after the other; destroy() waits for none of them. After death
 * every call fails with SANDBOX_DEAD. A request that meets a paused sandbox thaws it first, so the pool may freeze
 * an idle sandbox at any time without its owner noticing more than a fraction of a millisecond.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { ArgyleError, asArgyleError } from '../errors';
import type { Stats } from '../metrics';
import type { AnswerHandler } from './answer/guard';
import { LAST_WORDS_MS } from './boot';
import type { Candidate } from './evictor';
import type { Charge, Holder, MemoryPool } from './pool';
import { MEGABYTE } from './slot';
import type { Pressure } from './thrash';
import type { Watched } from './thrash-watch';
import type { Sandbox, SandboxExit, SandboxLimits, SandboxUsage, StartKind } from './types';

/** The pool leaves an instance alone that was made or used this recently, ms: its next request is probably here. */
const IDLE_MIN_MS = 5;

export interface GuardOptions {
  pool: MemoryPool;
  /** Share that is held already; released when the sandbox is destroyed. */
  charge: Charge;
  /** MB charged while running. */
  chargeMb: number;
  /** false: only its owner pauses and destroys it. Default true. */
  evictable?: boolean;
  /** features.downsize_paused_mem: charge a paused sandbox what it uses. */
  downsizePaused: boolean;
  stats: Stats;
  /** Expected ms that a paused instance saves against a cold start; read when memory is short. */
  savesMs: () => number;
  /** Called when it is about to be destroyed for the MB that it holds while idle. */
  onEvicted?: (mb: number) => void;
  /** Called once when destroy() has freed everything. */
  onDestroyed?: () => void;
}

export class GuardedSandbox implements Sandbox, Holder, Watched {
  readonly exited: Promise<SandboxExit>;
  /** For thrash-watch.ts: ms of performance.now() at which the first of the requests that it is busy with came. */
  busySince: number | undefined;
  private state: 'running' | 'paused' = 'running';
  private deadWhy: string | undefined;
  private destroying: Promise<void> | undefined;
  /** Tail of the queue of pauses and resumes; `queued` counts its members. */
  private queue: Promise<unknown> = Promise.resolve();
  private queued = 0;
  private activeRequests = 0;
  private lastUsedMs = Date.now();
  /** Settles `exited` before the helper tells. */
  private endEarly: ((exit: SandboxExit) => void) | undefined;

  constructor(
    private readonly inner: Sandbox,
    private readonly options: GuardOptions,
  ) {
    this.exited = new Promise((resolve) => {
      this.endEarly = resolve;
      void inner.exited.then((exit) => {
        if (this.deadWhy !== undefined) return;
        this.deadWhy = inner.dead ?? 'its first process ended';
        resolve(exit);
      });
    });
    if (options.evictable !== false) options.pool.add(this);
  }

  get id(): string {
    return this.inner.id;
  }

  get pid(): number {
    return this.inner.pid;
  }

  get parentPid(): number | undefined {
    return this.inner.parentPid;
  }

  get start(): StartKind {
    return this.inner.start;
  }

  get limits(): SandboxLimits {
    return this.inner.limits;
  }

  get dead(): string | undefined {
    return this.deadWhy;
  }

  get isPaused(): boolean {
    return this.state === 'paused';
  }

  /** Requests that are being served now. */
  get active(): number {
    return this.activeRequests;
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: AnswerHandler): void {
    if (this.activeRequests++ === 0) this.busySince = performance.now();
    const counted = this.counted(handler);
    if (this.deadWhy !== undefined) {
      fail(counted, this.death());
      return;
    }
    if (this.state === 'running' && this.queued === 0) {
      this.inner.dispatch(options, counted);
      return;
    }
    this.resume()
      .then(() => {
        this.inner.dispatch(options, counted);
      })
      .catch((error: unknown) => {
        fail(counted, asArgyleError('SANDBOX_DEAD', error));
      });
  }

  /** No-op when paused already. @throws ArgyleError SANDBOX_DEAD, or SANDBOX_STATE while a request is served. */
  pause(): Promise<void> {
    return this.enqueue(async () => {
      if (this.state === 'paused') return;
      if (this.activeRequests > 0) {
        throw new ArgyleError('SANDBOX_STATE', `sandbox ${this.id} is serving a request and cannot be paused`);
      }
      const startMs = performance.now();
      await this.inner.pause();
      this.state = 'paused';
      this.options.stats.record('Pause()', performance.now() - startMs);
      if (this.options.downsizePaused) {
        const { memBytes } = await this.inner.usage();
        this.options.charge.measured(Math.min(this.options.chargeMb, Math.ceil(memBytes / MEGABYTE)));
      }
    });
  }

  /** No-op when running. @throws ArgyleError SANDBOX_DEAD; MEMORY_EXHAUSTED, and then it stays paused. */
  resume(): Promise<void> {
    return this.enqueue(async () => {
      if (this.state === 'running') return;
      const startMs = performance.now();
      await this.options.charge.resize(this.options.chargeMb);
      await this.inner.resume();
      this.state = 'running';
      this.lastUsedMs = Date.now();
      this.options.stats.record('Unpause()', performance.now() - startMs);
    });
  }

  async usage(): Promise<SandboxUsage> {
    if (this.destroying !== undefined) throw this.death();
    return this.inner.usage();
  }

  async pressure(): Promise<Pressure | undefined> {
    return this.destroying === undefined ? this.inner.pressure?.() : undefined;
  }

  fail(why: string): void {
    if (this.deadWhy !== undefined) return;
    this.deadWhy = why;
    this.endEarly?.({ oomKills: 0, status: undefined });
    void this.destroy(why);
  }

  destroy(reason: string): Promise<void> {
    this.deadWhy ??= reason;
    this.destroying ??= this.free(reason);
    return this.destroying;
  }

  async debugString(): Promise<string> {
    if (this.destroying !== undefined) return `SANDBOX ${this.id} is DEAD: ${this.deadWhy ?? ''}\n`;
    return this.inner.debugString();
  }

  candidate(nowMs: number): Candidate | undefined {
    if (this.destroying !== undefined || this.activeRequests > 0) return undefined;
    const idleMs = nowMs - this.lastUsedMs;
    const mb = this.options.charge.mb;
    const base = { id: this.id, savesMs: this.options.savesMs(), idleMs };
    // While a pause or resume runs, somebody is about to use it, or to give its memory back.
    if (this.queued > 0) return undefined;
    if (this.state === 'paused' || this.deadWhy !== undefined) return { ...base, action: 'destroy', freesMb: mb };
    if (idleMs < IDLE_MIN_MS) return undefined;
    if (!this.options.downsizePaused) return { ...base, action: 'pause', freesMb: 0 };
    // What it will turn out to use is not known before it is paused; half is a guess that need not be right.
    return { ...base, action: 'pause', freesMb: mb / 2 };
  }

  async relieve(action: Candidate['action']): Promise<void> {
    if (action === 'pause') {
      await this.pause().catch(() => undefined);
      return;
    }
    if (this.deadWhy === undefined) this.options.onEvicted?.(this.options.charge.mb);
    this.deadWhy ??= 'evicted to free memory';
    this.endEarly?.({ oomKills: 0, status: undefined, evicted: true });
    await this.destroy('evicted to free memory');
  }

  private async free(reason: string): Promise<void> {
    const startMs = performance.now();
    this.options.pool.remove(this);
    await this.inner.destroy(reason);
    this.options.charge.release();
    this.options.stats.record('Destroy()', performance.now() - startMs);
    this.options.onDestroyed?.();
  }

  private async enqueue(step: () => Promise<void>): Promise<void> {
    this.queued++;
    const run = this.queue.then(async () => {
      if (this.deadWhy !== undefined) throw this.death();
      try {
        await step();
      } catch (error) {
        // Whatever failed while it died failed because it died.
        throw this.dead === undefined ? error : this.death();
      }
    });
    this.queue = run.catch(() => undefined);
    try {
      await run;
    } finally {
      this.queued--;
    }
  }

  /** Keeps count of requests, and turns a broken connection into SANDBOX_DEAD. */
  private counted(inner: AnswerHandler): AnswerHandler {
    let open = true;
    const done = (): void => {
      if (!open) return;
      open = false;
      if (--this.activeRequests === 0) this.busySince = undefined;
      this.lastUsedMs = Date.now();
    };
    return {
      onStart: (control) => {
        inner.onStart(control);
      },
      onHead: (head) => {
        inner.onHead(head);
      },
      onData: (chunk) => {
        inner.onData(chunk);
      },
      onEnd: () => {
        done();
        inner.onEnd();
      },
      onError: (error) => {
        done();
        if (!isBroken(error)) {
          inner.onError(error);
          return;
        }
        void this.broken(error).then((broken) => {
          inner.onError(broken);
        });
      },
    };
  }

  /** The connection ends a moment before the helper tells why: waits for the reason, which says what to do. */
  private async broken(cause: Error): Promise<ArgyleError> {
    if (this.deadWhy === undefined) await Promise.race([this.exited, sleep(LAST_WORDS_MS)]);
    const why = this.deadWhy ?? cause.message;
    return new ArgyleError('SANDBOX_DEAD', `sandbox ${this.id} broke off: ${why}`, { cause });
  }

  private death(): ArgyleError {
    return new ArgyleError('SANDBOX_DEAD', `sandbox ${this.id} is dead: ${this.deadWhy ?? 'unknown'}`);
  }
}

/** Whether an error of undici's or the socket's means that the guest's end is gone or talks no HTTP. */
function isBroken(error: Error): boolean {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE', 'ECONNREFUSED', 'ENOENT', 'UND_ERR_DESTROYED'].includes(code);
}

/** Fails a request that never started. */
function fail(handler: AnswerHandler, error: Error): void {
  queueMicrotask(() => {
    handler.onError(error);
  });
}
