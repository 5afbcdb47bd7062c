/**
 * The memory budget (mem_pool_mb) for instances, zygotes, spares and installers.
 *
 * A running sandbox is charged its limit; every other holder is charged approximately the memory that it uses. A
 * request for memory that finds the pool full waits in a queue while holders are paused and evicted (evictor.ts).
 */
import { ArgyleError } from '../../errors';
import type { Stats } from '../../metrics';
import { Charge, type Chargeable, type MemoryTier } from './charge';
import type { Candidate } from './evictor';
import { FairQueue } from './fair-queue';
import { Reclaimer, type Holder } from './reclaimer';
import { demandsOf, inLine, mostReservedMb, PATIENCE_MS, Shares } from './shares';
import { yields } from './yield';

export { Charge, type MemoryTier } from './charge';
export type { Holder } from './reclaimer';

export interface MemoryPoolOptions {
  totalMb: number;
  /** Limit for the wait of acquire(), in ms. */
  timeoutMs: number;
  stats: Stats;
  /** Called for every eviction, for trace.evictor. */
  onEvict?: (victim: Candidate) => void;
}

interface Waiter {
  /** The function whose turn the waiter uses; '' for a holder that serves all functions. */
  readonly fn: string;
  charge: Charge;
  mb: number;
  sinceMs: number;
  settle: (error: ArgyleError | undefined) => void;
}

/** Poll interval while a waiter exists and no memory could be freed, in ms. */
const LOOK_AGAIN_MS = 20;

export class MemoryPool implements Chargeable {
  private used = 0;
  private readonly tiers: Record<MemoryTier, number> = { instance: 0, paused: 0, spare: 0, zygote: 0, installer: 0 };
  private readonly waiters = new FairQueue<Waiter>();
  /** Charged memory of each function, in MB. */
  private readonly held = new Map<string, number>();
  /** Shares that their owners are about to return. */
  private readonly returning = new Set<Charge>();
  private readonly holders: Reclaimer;
  private again: NodeJS.Timeout | undefined;

  constructor(private readonly options: MemoryPoolOptions) {
    this.holders = new Reclaimer(options);
  }

  get totalMb(): number {
    return this.options.totalMb;
  }

  get usedMb(): number {
    return this.used;
  }

  /** `usedMb` by tier. */
  get tierMb(): Readonly<Record<MemoryTier, number>> {
    return this.tiers;
  }

  get waiting(): number {
    return this.waiters.length;
  }

  /**
   * Whether `mb` would be free after all waiters are served and all idle holders are reclaimed.
   * @param sparing true leaves holders that are kept for later use (Candidate.keptAs) in place
   */
  hasRoom(mb: number, sparing = false): boolean {
    let needed = this.used + mb - this.options.totalMb - this.comingMb;
    for (const waiter of this.waiters.entries()) needed += waiter.mb;
    return needed <= 0 || needed <= this.holders.freeableMb(sparing);
  }

  /**
   * Acquires a share of `mb`: at once when the memory is free and no one waits, else after a wait in the queue.
   *
   * @throws ArgyleError MEMORY_EXHAUSTED after the timeout, or at once when `mb` exceeds the pool
   */
  async acquire(mb: number, tier: MemoryTier = 'instance', owner = ''): Promise<Charge> {
    const charge = new Charge(this, tier, owner);
    await this.grow(charge, mb);
    return charge;
  }

  /** Acquires a share of `mb` only if the memory is free now and no one waits. Sandboxes made ahead use it. */
  tryAcquire(mb: number, tier: MemoryTier = 'instance'): Charge | undefined {
    if (this.waiters.length > 0 || this.used + mb > this.options.totalMb) return undefined;
    const charge = new Charge(this, tier, '');
    this.charge(charge, mb);
    return charge;
  }

  /**
   * Whether an instance that has just served a request must be destroyed although more requests wait for it; see
   * yield.ts. On true the caller destroys the instance, which releases its charge.
   */
  mustYield(charge: Charge): boolean {
    if (this.waiters.length === 0) return false;
    const heldMb = (owner: string): number => this.held.get(owner) ?? 0;
    if (!yields(charge, this.waiters.entries(), heldMb, this.comingMb)) return false;
    this.returning.add(charge);
    return true;
  }

  add(holder: Holder): void {
    this.holders.add(holder);
  }

  remove(holder: Holder): void {
    this.holders.remove(holder);
  }

  /** @internal Called by Charge. */
  charge(charge: Charge, mb: number): void {
    const freed = charge.mb - mb;
    this.adjust(charge, -freed);
    this.returning.delete(charge);
    if (freed > 0) this.serve();
    else if (this.used > this.options.totalMb) this.reclaim();
  }

  /** @internal Called by Charge. */
  async grow(charge: Charge, byMb: number): Promise<void> {
    const { totalMb, timeoutMs } = this.options;
    if (this.waiters.length === 0 && this.isFree(charge, byMb)) {
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
        fn: charge.owner,
        charge,
        mb: byMb,
        sinceMs: Date.now(),
        settle: (error) => {
          clearTimeout(timer);
          this.waiters.remove(waiter);
          if (error === undefined) resolve();
          else reject(error);
          if (error !== undefined) this.serve();
        },
      };
      this.waiters.add(waiter);
      // The new waiter may pass over waiters of functions above their share.
      this.serve();
    });
  }

  /** @internal Called by Charge. */
  retier(charge: Charge, tier: MemoryTier): void {
    this.tiers[charge.tier] -= charge.mb;
    this.tiers[tier] += charge.mb;
    charge.tier = tier;
  }

  /** @internal Called by Charge. */
  expect(charge: Charge, isComing: boolean): void {
    if (isComing) this.returning.add(charge);
    else this.returning.delete(charge);
  }

  /** @internal Called by Charge. Removes a released charge from the queue. */
  cancel(charge: Charge): void {
    const dropped: Waiter[] = [];
    for (const waiter of this.waiters.entries()) if (waiter.charge === charge) dropped.push(waiter);
    // Performance: making an error takes 50 µs, and every cold start calls this method.
    if (dropped.length === 0) return;
    const error = new ArgyleError('SANDBOX_DEAD', 'destroyed while it waited for memory');
    for (const waiter of dropped) waiter.settle(error);
  }

  /** POLICY: functions take turns; within a function, first come, first served. See also inLine(). */
  private serve(): void {
    while (this.waiters.length > 0) {
      const shares = this.shares();
      const isNext = inLine<Waiter>(
        ({ fn, mb, charge }) => shares.isOver(fn, mb, charge.mb),
        ({ fn, mb }, over) => this.used + mb + (over ? shares.reservedMb(fn) : 0) <= this.options.totalMb,
      );
      const next = this.waiters.take(isNext);
      if (next === undefined) {
        this.reclaim(shares);
        return;
      }
      this.adjust(next.charge, next.mb);
      next.settle(undefined);
    }
  }

  /** Whether a function gets `mb` at once when no one waits. */
  private isFree({ owner: fn, mb: ofMb }: Charge, mb: number): boolean {
    const leftMb = this.options.totalMb - this.used - mb;
    if (leftMb < 0) return false;
    const ownMb = this.held.get(fn) ?? 0;
    // Fast path: a fair share is never below an equal share, and usually more than enough memory is free.
    if (ownMb <= ofMb || ownMb + mb <= this.options.totalMb / (this.held.size + 1)) return true;
    if (leftMb >= mostReservedMb(this.options.totalMb)) return true;
    const shares = this.shares({ fn, mb });
    return !shares.isOver(fn, mb, ofMb) || shares.reservedMb(fn) <= leftMb;
  }

  /** @param more a request in addition to those of the waiters */
  private shares(more?: { fn: string; mb: number }): Shares {
    const paused = this.holders.paused();
    const waiting = [...this.waiters.entries(), ...(more === undefined ? [] : [more])];
    let ownedMb = 0;
    for (const mb of this.held.values()) ownedMb += mb;
    return new Shares(this.options.totalMb - this.used + ownedMb, demandsOf(this.held, waiting, paused));
  }

  /**
   * Memory that owners are about to return, in MB. A pause counts with the whole charge of its instance. If the paused
   * instance keeps a part, reclaim() makes up for this part after the pause.
   */
  private get comingMb(): number {
    let mb = 0;
    for (const charge of this.returning) mb += charge.mb;
    return mb;
  }

  private adjust(charge: Charge, byMb: number): void {
    this.used += byMb;
    this.tiers[charge.tier] += byMb;
    charge.mb += byMb;
    if (charge.owner === '') return;
    const heldMb = (this.held.get(charge.owner) ?? 0) + byMb;
    if (heldMb > 0) this.held.set(charge.owner, heldMb);
    else this.held.delete(charge.owner);
  }

  /** Reclaims what the waiters need, and checks again later while any of them waits. */
  private reclaim(shares = this.shares()): void {
    const nowMs = Date.now();
    let neededMb = this.used - this.options.totalMb - this.comingMb;
    let [overMb, patientMb] = [0, 0];
    const over = new Set<string>();
    for (const { fn, mb, sinceMs, charge } of this.waiters.entries()) {
      neededMb += mb;
      if (shares.isOver(fn, mb, charge.mb)) {
        overMb += mb;
        over.add(fn);
      } else if (shares.isToGive(fn, mb) && nowMs - sinceMs < PATIENCE_MS) patientMb += mb;
    }
    this.holders.reclaim({ neededMb, overMb, patientMb, over }, shares);
    if (this.waiters.length > 0) {
      this.again ??= setTimeout(() => {
        this.again = undefined;
        if (this.waiters.length > 0) this.reclaim();
      }, LOOK_AGAIN_MS);
    }
  }
}
