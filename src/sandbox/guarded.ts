/**
 * The sandbox that callers hold: a plain sandbox with its share of the memory pool. It makes the moves of the
 * sandbox's life (life.ts).
 *
 * pause(), resume() and the pool's own pauses run one after the other. destroy() waits for none of them. After the end
 * every call fails with SANDBOX_DEAD. A request to a paused sandbox resumes the sandbox first, so the pool may pause an
 * idle sandbox at any time. While thawing, requests may be sent; the guest reads them when it runs.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { ArgyleError, asArgyleError } from '../errors';
import type { Stats } from '../metrics';
import { onceEnded } from './answer/ended';
import type { AnswerHandler } from './answer/guard';
import { FINAL_OUTPUT_MS } from './boot';
import { describeDeath } from './death';
import { failUnsent, isBroken } from './answer/lost-requests';
import type { Candidate } from './memory/evictor';
import type { Lease } from './lease';
import type { Life } from './life';
import type { Charge, Holder, MemoryPool } from './memory/memory-pool';
import type { Paused } from './memory/shares';
import { MEGABYTE } from './slot/limits';
import type { Pressure } from './memory/thrash';
import type { Watched } from './memory/thrash-watch';
import type { PlainSandbox, Sandbox, SandboxExit, SandboxLimits, SandboxUsage, StartKind, ZygoteTier } from './types';

/** Time after the last use in which the pool does not pause an instance, in ms. The next request may follow soon. */
const IDLE_MIN_MS = 5;
/** The exit of a sandbox whose helper has ended. */
const LOST: SandboxExit = { oomKills: 0, status: undefined, lost: true };

export interface GuardOptions {
  pool: MemoryPool;
  /** Holds the share of the pool, and from now on the plain sandbox; freed when the sandbox is destroyed. */
  lease: Lease;
  /** MB charged while running. */
  chargeMb: number;
  /** false: only the owner pauses and destroys the sandbox. Default true. */
  evictable?: boolean;
  /** features.downsize_paused_mem: a paused sandbox is charged the memory that it uses. */
  downsizePaused: boolean;
  stats: Stats;
  /** As in Sandbox. */
  tier?: ZygoteTier | undefined;
  /** Expected saving of a paused instance against a cold start, in ms; read when memory is short. */
  savesMs: () => number;
  /** Called before an eviction; `mb` is the charge of the idle sandbox. */
  onEvicted?: (mb: number) => void;
  /** Called once when destroy() has freed everything. */
  onDestroyed?: () => void;
}

export class GuardedSandbox implements Sandbox, Holder, Watched {
  readonly life: Life;
  /** For thrash-watch.ts: performance.now() at the start of the current busy period, in ms; undefined while idle. */
  busySince: number | undefined;
  private readonly charge: Charge;
  private freed: Promise<void> | undefined;
  /** Tail of the queue of pauses and resumes. Life.changes counts the members of the queue. */
  private queue: Promise<unknown> = Promise.resolve();
  private activeRequests = 0;
  private lastUsedMs = Date.now();
  private keptAs: 'minimum' | undefined;

  constructor(
    private readonly inner: PlainSandbox,
    private readonly options: GuardOptions,
  ) {
    options.lease.hold(inner);
    this.charge = options.lease.charge;
    this.life = inner.life;
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

  get tier(): ZygoteTier | undefined {
    return this.options.tier;
  }

  get importMs(): number | undefined {
    return this.inner.importMs;
  }

  get limits(): SandboxLimits {
    return this.inner.limits;
  }

  mustYield(): boolean {
    return this.options.pool.mustYield(this.charge);
  }

  keep(kept: boolean): void {
    this.keptAs = kept ? 'minimum' : undefined;
  }

  weigh(weight: number): void {
    if (this.life.isAlive) this.inner.weigh?.(weight);
  }

  running(requestId: string): void {
    this.inner.running?.(requestId);
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: AnswerHandler): void {
    if (this.activeRequests++ === 0) this.busySince = performance.now();
    const counted = this.counted(handler);
    if (this.life.isOpen) {
      this.inner.dispatch(options, counted);
      return;
    }
    if (!this.life.isAlive) {
      failUnsent(counted, this.death());
      return;
    }
    this.resume()
      .then(() => {
        this.inner.dispatch(options, counted);
      })
      .catch((error: unknown) => {
        failUnsent(counted, asArgyleError('SANDBOX_DEAD', error));
      });
  }

  /** No-op when paused. @throws ArgyleError SANDBOX_DEAD, or SANDBOX_STATE while a request is served. */
  pause(): Promise<void> {
    return this.enqueue(async () => {
      if (this.life.phase === 'paused') return;
      if (this.activeRequests > 0) {
        throw new ArgyleError('SANDBOX_STATE', `sandbox ${this.id} is serving a request and cannot be paused`);
      }
      const startMs = performance.now();
      this.life.move('pausing');
      this.charge.returning(this.options.downsizePaused);
      try {
        await this.inner.pause();
        this.life.move('paused');
        this.charge.move('paused');
        this.options.stats.record('Pause()', performance.now() - startMs);
        if (!this.options.downsizePaused) return;
        const { memBytes } = await this.inner.usage();
        this.charge.measured(Math.min(this.options.chargeMb, Math.ceil(memBytes / MEGABYTE)));
      } catch (error) {
        this.charge.returning(false);
        if (this.life.phase === 'pausing') this.life.move('running');
        throw error;
      }
    });
  }

  /** No-op when running. @throws ArgyleError SANDBOX_DEAD; MEMORY_EXHAUSTED, after which the sandbox stays paused. */
  resume(onOrdered?: () => void): Promise<void> {
    return this.enqueue(async () => {
      if (this.life.phase === 'running') return;
      const startMs = performance.now();
      this.life.move('waking');
      const pausedMb = this.charge.mb;
      try {
        await this.charge.resize(this.options.chargeMb);
        const thawed = this.inner.resume();
        this.life.move('thawing');
        onOrdered?.();
        await thawed;
      } catch (error) {
        this.life.move('paused');
        this.charge.measured(pausedMb);
        throw error;
      }
      this.life.move('running');
      this.charge.move('instance');
      this.lastUsedMs = Date.now();
      this.options.stats.record('Unpause()', performance.now() - startMs);
    });
  }

  async usage(): Promise<SandboxUsage> {
    if (this.life.isGivenUp) throw this.death();
    return this.inner.usage();
  }

  async pressure(): Promise<Pressure | undefined> {
    return this.life.isGivenUp ? undefined : this.inner.pressure?.();
  }

  fail(why: string): void {
    if (this.life.finish('itself', why)) void this.destroy(why);
  }

  destroy(reason: string): Promise<void> {
    this.life.finish('owner', reason);
    this.freed ??= this.free(reason);
    return this.freed;
  }

  async debugString(): Promise<string> {
    if (this.life.isGivenUp) return `SANDBOX ${this.id} is DEAD: ${this.life.end?.why ?? ''}\n`;
    return this.inner.debugString();
  }

  candidate(nowMs: number): Candidate | undefined {
    // A running pause or resume means that the sandbox is about to be used or to give memory back.
    if (this.life.isGivenUp || this.activeRequests > 0 || this.life.changes > 0) return undefined;
    const idleMs = nowMs - this.lastUsedMs;
    const { mb, owner } = this.charge;
    const base = { id: this.id, fn: owner, savesMs: this.options.savesMs(), idleMs, keptAs: this.keptAs };
    // A dead sandbox belongs to no function, so no function's share protects it.
    if (!this.life.isAlive) return { ...base, fn: undefined, action: 'destroy', freesMb: mb };
    if (this.life.phase === 'paused') return { ...base, action: 'destroy', freesMb: mb };
    if (idleMs < IDLE_MIN_MS) return undefined;
    if (!this.options.downsizePaused) return { ...base, action: 'pause', freesMb: 0 };
    // POLICY: the memory that a pause frees is known only after the pause. The estimate is the whole charge. If the
    // pause frees less, the pool reclaims the rest afterwards. A lower estimate could evict too many instances.
    return { ...base, action: 'pause', freesMb: mb };
  }

  paused(nowMs: number): Paused | undefined {
    const { phase } = this.life;
    if (phase !== 'paused' && phase !== 'waking') return undefined;
    const { mb, owner } = this.charge;
    return { fn: owner, idleMs: nowMs - this.lastUsedMs, thawMb: this.options.chargeMb - mb };
  }

  async reclaim(action: Candidate['action']): Promise<void> {
    if (action === 'pause') return this.pause().catch(() => undefined);
    const why = 'evicted to free memory';
    if (this.life.finish('eviction', why)) this.options.onEvicted?.(this.charge.mb);
    await this.destroy(why);
  }

  private async free(reason: string): Promise<void> {
    const startMs = performance.now();
    this.life.move('freeing');
    this.options.pool.remove(this);
    await this.options.lease.free(reason);
    this.life.move('freed');
    this.options.stats.record('Destroy()', performance.now() - startMs);
    this.options.onDestroyed?.();
  }

  private async enqueue(step: () => Promise<void>): Promise<void> {
    this.life.changes++;
    const run = this.queue.then(async () => {
      if (!this.life.isAlive) throw this.death();
      try {
        await step();
      } catch (error) {
        // Errors during destruction are reported as SANDBOX_DEAD.
        if (this.life.end !== undefined) throw this.death();
        // The sandbox ended with its helper, and this error may come before the report of that end.
        const lost = error instanceof ArgyleError && error.code === 'HELPER_GONE';
        if (lost && this.life.finish('helper', describeDeath(LOST), LOST)) void this.destroy('its helper ended');
        throw error;
      }
    });
    this.queue = run.catch(() => undefined);
    try {
      await run;
    } finally {
      this.life.changes--;
    }
  }

  /** Counts the requests, and turns a broken connection into SANDBOX_DEAD. */
  private counted(inner: AnswerHandler): AnswerHandler {
    const ended = (): void => {
      if (--this.activeRequests === 0) this.busySince = undefined;
      this.lastUsedMs = Date.now();
    };
    return onceEnded(inner, ended, (error) => (isBroken(error) ? this.broken(error) : undefined));
  }

  /** Race: the connection ends before the helper reports the cause. The wait lets the error name the cause. */
  private async broken(cause: Error): Promise<ArgyleError> {
    if (this.life.isAlive) await Promise.race([this.life.exited, sleep(FINAL_OUTPUT_MS)]);
    const why = this.life.end?.why ?? cause.message;
    return new ArgyleError('SANDBOX_DEAD', `sandbox ${this.id} broke off: ${why}`, { cause });
  }

  private death(): ArgyleError {
    return new ArgyleError('SANDBOX_DEAD', `sandbox ${this.id} is dead: ${this.life.end?.why ?? 'unknown'}`);
  }
}
