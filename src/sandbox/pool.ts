/**
 * The memory budget (mem_pool_mb) over instances, zygotes, spares and installers.
 *
 * A running sandbox is charged its limit, everything else about what it uses. Who finds the pool full waits in line;
 * meanwhile holders are paused and evicted (evictor.ts).
 */
import { ArgyleError } from '../errors';
import type { Stats } from '../metrics';
import { chooseVictims, type Candidate } from './evictor';

/** Something that holds memory and can be made to give it back. */
export interface Holder {
  /** What relieving it now would mean; undefined while it is in use. */
  candidate(nowMs: number): Candidate | undefined;
  /** Does what the candidate's action says. Never rejects; memory comes back through the holder's charge. */
  relieve(action: Candidate['action']): Promise<void>;
}

export interface MemoryPoolOptions {
  totalMb: number;
  /** Longest wait of acquire() for memory, ms. */
  timeoutMs: number;
  stats: Stats;
  /** Told of every eviction, for trace.evictor. */
  onEvict?: (victim: Candidate) => void;
}

interface Waiter {
  charge: Charge;
  mb: number;
  settle: (error: ArgyleError | undefined) => void;
}

/** Wait before holders are looked at again while somebody waits and nothing could be freed, ms. */
const LOOK_AGAIN_MS = 20;

/** One holder's share of the pool. */
export class Charge {
  /** MB charged now. */
  mb = 0;
  private released = false;

  constructor(private readonly pool: MemoryPool) {}

  /**
   * Raises or lowers the share to `mb`; raising waits in line.
   *
   * @throws ArgyleError MEMORY_EXHAUSTED after the pool's timeout, SANDBOX_DEAD when released meanwhile.
   */
  async resize(mb: number): Promise<void> {
    if (this.released) throw new ArgyleError('SANDBOX_DEAD', 'its memory was given back');
    if (mb > this.mb) await this.pool.grow(this, mb - this.mb);
    else this.pool.charge(this, mb);
  }

  /** Sets the share to what was measured, at once, even beyond the budget: the memory is in use already. */
  measured(mb: number): void {
    if (!this.released) this.pool.charge(this, mb);
  }

  /** Gives everything back. Idempotent. */
  release(): void {
    if (this.released) return;
    this.released = true;
    this.pool.charge(this, 0);
    this.pool.cancel(this);
  }
}

export class MemoryPool {
  private used = 0;
  private readonly waiters: Waiter[] = [];
  private readonly holders = new Set<Holder>();
  private readonly relieving = new Set<Holder>();
  private again: NodeJS.Timeout | undefined;

  constructor(private readonly options: MemoryPoolOptions) {}

  get totalMb(): number {
    return this.options.totalMb;
  }

  get usedMb(): number {
    return this.used;
  }

  get waiting(): number {
    return this.waiters.length;
  }

  /** Whether `mb` would be free once everybody in line is served and all that is idle is relieved. */
  hasRoom(mb: number): boolean {
    const nowMs = Date.now();
    let needed = this.used + mb - this.options.totalMb;
    for (const waiter of this.waiters) needed += waiter.mb;
    for (const holder of needed > 0 ? this.holders : []) needed -= holder.candidate(nowMs)?.freesMb ?? 0;
    return needed <= 0;
  }

  /**
   * A share of `mb`, at once when it is free and nobody waits, else in line.
   *
   * @throws ArgyleError MEMORY_EXHAUSTED when it cannot be had, at once if it is larger than the pool.
   */
  async acquire(mb: number): Promise<Charge> {
    const charge = new Charge(this);
    await this.grow(charge, mb);
    return charge;
  }

  /** A share of `mb` if it is free right now and nobody waits, undefined otherwise: for what is only made ahead. */
  tryAcquire(mb: number): Charge | undefined {
    if (this.waiters.length > 0 || this.used + mb > this.options.totalMb) return undefined;
    const charge = new Charge(this);
    this.charge(charge, mb);
    return charge;
  }

  add(holder: Holder): void {
    this.holders.add(holder);
  }

  remove(holder: Holder): void {
    this.holders.delete(holder);
  }

  /** @internal Charge's way in. */
  charge(charge: Charge, mb: number): void {
    const freed = charge.mb - mb;
    this.used -= freed;
    charge.mb = mb;
    if (freed > 0) this.serve();
    else if (this.used > this.options.totalMb) this.relieve();
  }

  /** @internal Charge's way in. */
  async grow(charge: Charge, byMb: number): Promise<void> {
    const { totalMb, timeoutMs } = this.options;
    if (this.waiters.length === 0 && this.used + byMb <= totalMb) {
      this.charge(charge, charge.mb + byMb);
      return;
    }
    if (charge.mb + byMb > totalMb) {
      throw new ArgyleError('MEMORY_EXHAUSTED', `${charge.mb + byMb} MB asked of a pool of ${totalMb} MB`, {
        field: 'mem_pool_mb',
        value: String(totalMb),
      });
    }
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        const message = `no ${byMb} MB became free within ${timeoutMs} ms (${this.used} of ${totalMb} MB in use)`;
        waiter.settle(new ArgyleError('MEMORY_EXHAUSTED', message, { field: 'mem_pool_mb', value: String(totalMb) }));
      }, timeoutMs);
      const waiter: Waiter = {
        charge,
        mb: byMb,
        settle: (error) => {
          clearTimeout(timer);
          const index = this.waiters.indexOf(waiter);
          if (index >= 0) this.waiters.splice(index, 1);
          if (error === undefined) resolve();
          else reject(error);
          if (error !== undefined) this.serve();
        },
      };
      this.waiters.push(waiter);
      this.relieve();
    });
  }

  /** @internal Drops a released charge's place in line. */
  cancel(charge: Charge): void {
    const dropped = this.waiters.filter((waiter) => waiter.charge === charge);
    // Making an error takes 50 µs, and each cold start comes by here.
    if (dropped.length === 0) return;
    const error = new ArgyleError('SANDBOX_DEAD', 'destroyed while it waited for memory');
    for (const waiter of dropped) waiter.settle(error);
  }

  /** POLICY: first come, first served; a small request does not overtake a large one, which could starve otherwise. */
  private serve(): void {
    for (let next = this.waiters[0]; next !== undefined; next = this.waiters[0]) {
      if (this.used + next.mb > this.options.totalMb) break;
      this.used += next.mb;
      next.charge.mb += next.mb;
      next.settle(undefined);
    }
    if (this.waiters.length > 0) this.relieve();
  }

  private relieve(): void {
    const now = Date.now();
    const wanted = this.waiters.reduce((sum, waiter) => sum + waiter.mb, 0) + this.used - this.options.totalMb;
    let coming = 0;
    const candidates: (Candidate & { holder: Holder })[] = [];
    for (const holder of this.holders) {
      const candidate = holder.candidate(now);
      if (candidate === undefined) continue;
      if (this.relieving.has(holder)) coming += candidate.freesMb;
      else candidates.push({ ...candidate, holder });
    }
    for (const victim of chooseVictims(candidates, wanted - coming)) {
      this.relieving.add(victim.holder);
      this.options.onEvict?.(victim);
      void this.relieveOne(victim);
    }
    if (this.waiters.length > 0) {
      this.again ??= setTimeout(() => {
        this.again = undefined;
        if (this.waiters.length > 0) this.relieve();
      }, LOOK_AGAIN_MS);
    }
  }

  private async relieveOne(victim: Candidate & { holder: Holder }): Promise<void> {
    const startMs = performance.now();
    await victim.holder.relieve(victim.action);
    this.relieving.delete(victim.holder);
    if (victim.action === 'destroy') this.options.stats.record('evict', performance.now() - startMs);
  }
}
