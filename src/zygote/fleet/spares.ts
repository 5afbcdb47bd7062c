/**
 * Parked children of one zygote: forked, confined, and waiting only for a function's code. A cold start with a spare
 * skips the fork. Spares are made in the background from free memory, and are evicted before zygotes.
 */
import type { Candidate } from '../../sandbox/memory/evictor';
import type { SandboxFactory } from '../../sandbox/factory';
import { Lease } from '../../sandbox/lease';
import type { Charge, Holder, MemoryPool } from '../../sandbox/memory/memory-pool';
import { MEGABYTE } from '../../sandbox/slot/limits';
import type { Slot } from '../../sandbox/slot/slot';
import type { SandboxLimits } from '../../sandbox/types';
import type { Parked, ZygoteProcess } from './zygote-process';

export interface SpareOptions {
  factory: SandboxFactory;
  pool: MemoryPool;
  zygote: ZygoteProcess;
  /** The limits of a spare. A function with other limits costs one more order to the helper. */
  limits: SandboxLimits;
}

/** Charge of a spare before its memory is measured, in MB: the private pages of an idle forked Python. */
const GUESS_MB = 4;
/**
 * Saving of a spare against a fork, in ms. A spare takes 0.3 ms. A fork of a small zygote takes 0.7 ms, and a fork of a
 * large zygote takes longer (policy/params.ts).
 */
const SAVES_MS = 1;
/** Delay before a taken spare is replaced, in ms. Until then, the CPUs serve the request that took the spare. */
const REFILL_DELAY_MS = 6;
/**
 * Delay before a spare is measured, in ms. By then the spare has joined its cgroups and completed its warm-up
 * (guest/fork/warm.py).
 */
const MEASURE_AFTER_MS = 200;
/** Back-off after a refill found no memory or no slot, in ms. */
const RETRY_MS = 500;

/** One parked child. Its pool records whether it is still parked. */
export class Spare implements Holder {
  private readonly since = Date.now();

  constructor(
    readonly slot: Slot,
    readonly lease: Lease,
    private readonly home: SparePool,
  ) {
    void slot.exited.then(() => this.discard());
  }

  /** Whether the spare has been claimed or discarded. */
  get isTaken(): boolean {
    return !this.home.has(this);
  }

  async discard(): Promise<void> {
    if (this.home.remove(this)) await this.lease.free('the spare is not wanted');
  }

  candidate(nowMs: number): Candidate | undefined {
    if (this.isTaken) return undefined;
    const idleMs = nowMs - this.since;
    const base = { id: `spare slot ${this.slot.id}`, freesMb: this.lease.charge.mb, savesMs: SAVES_MS, idleMs };
    return { ...base, action: 'destroy', keptAs: 'spare' };
  }

  async reclaim(): Promise<void> {
    await this.discard();
  }
}

export class SparePool implements Parked {
  /** The parked children, oldest first. This set alone records which spares are neither claimed nor discarded. */
  private readonly parked = new Set<Spare>();
  private wanted = 0;
  /** Whether a refill is scheduled or runs. */
  private refilling = false;
  private spareMb = GUESS_MB;

  constructor(private readonly options: SpareOptions) {}

  get size(): number {
    return this.parked.size;
  }

  get target(): number {
    return this.wanted;
  }

  /** Sets the number of spares to keep; surplus spares are discarded. */
  setTarget(count: number): void {
    this.wanted = count;
    for (const spare of [...this.parked].slice(count)) void spare.discard();
    this.schedule(0);
  }

  /**
   * Claims the oldest spare. Its lease passes to the caller.
   * @param limits limits of the leaf; the size of its scratch must be that of the spares
   */
  take(limits: SandboxLimits): Spare | undefined {
    // The scratch is already mounted; its size is the only limit that cannot be changed later.
    if (limits.scratchMb !== this.options.limits.scratchMb) return undefined;
    for (const spare of this.parked) {
      if (!spare.slot.isUsable) {
        void spare.discard();
        continue;
      }
      this.remove(spare);
      this.schedule(REFILL_DELAY_MS);
      return spare;
    }
    return undefined;
  }

  /** Whether the spare is still parked. */
  has(spare: Spare): boolean {
    return this.parked.has(spare);
  }

  /** Takes the spare out of the pool. Its lease passes to the caller. @returns false when it was no longer parked */
  remove(spare: Spare): boolean {
    if (!this.parked.delete(spare)) return false;
    this.options.pool.remove(spare);
    return true;
  }

  async drop(): Promise<void> {
    this.wanted = 0;
    await Promise.all([...this.parked].map((spare) => spare.discard()));
  }

  private schedule(delayMs: number): void {
    if (this.refilling || this.parked.size >= this.wanted) return;
    this.refilling = true;
    setTimeout(() => {
      void this.refill();
    }, delayMs).unref();
  }

  private async refill(): Promise<void> {
    let delayMs = 0;
    const { zygote, pool, factory } = this.options;
    while (this.parked.size < this.wanted && zygote.isReady) {
      // POLICY: spares use only free memory; they never wait in the queue with requests.
      const charge = pool.tryAcquire(this.spareMb, 'spare');
      if (charge === undefined || !(await this.parkOne(zygote, charge, factory))) {
        delayMs = RETRY_MS;
        break;
      }
    }
    this.refilling = false;
    if (zygote.isReady) this.schedule(delayMs);
  }

  private async parkOne(zygote: ZygoteProcess, charge: Charge, factory: SandboxFactory): Promise<boolean> {
    const lease = new Lease(charge);
    lease.descendFrom(zygote);
    zygote.inFlight++;
    let slot: Slot;
    try {
      slot = await factory.park(zygote.slot, this.options.limits, lease);
    } catch {
      return false;
    } finally {
      zygote.inFlight--;
    }
    const spare = new Spare(slot, lease, this);
    this.parked.add(spare);
    this.options.pool.add(spare);
    setTimeout(() => {
      void this.measure(spare);
    }, MEASURE_AFTER_MS).unref();
    if (this.parked.size > this.wanted) await spare.discard();
    return true;
  }

  private async measure(spare: Spare): Promise<void> {
    const usage = await spare.slot.usage().catch(() => undefined);
    if (usage === undefined || spare.isTaken) return;
    this.spareMb = Math.max(1, Math.ceil(usage.memBytes / MEGABYTE));
    spare.lease.charge.measured(this.spareMb);
  }
}
