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
  /** The limits of a spare. The use for a function with other limits needs one more order to the helper. */
  limits: SandboxLimits;
}

/** Charge of a spare before its memory is measured, in MB: the private pages of an idle forked Python. */
const GUESS_MB = 4;
/**
 * Saving of a spare against a fork, in ms. A spare takes 0.3 ms. A fork of a small zygote takes 0.7 ms, and a fork of a
 * large zygote takes longer (policy/params.ts).
 */
const SAVES_MS = 1;
/** Delay before a taken spare is replaced, in ms: the request that took the spare has the CPUs first. */
const REFILL_DELAY_MS = 6;
/**
 * Delay before a spare is measured, in ms. By then the spare has joined its cgroups and completed its warm-up
 * (guest/fork/warm.py).
 */
const MEASURE_AFTER_MS = 200;
/** Back-off after a refill found no memory or no slot, in ms. */
const RETRY_MS = 500;

/** One parked child. */
export class Spare implements Holder {
  private readonly since = Date.now();
  private taken = false;

  constructor(
    readonly slot: Slot,
    readonly lease: Lease,
    /** Called when the spare is claimed or discarded. */
    private readonly leave: (spare: Spare) => void,
  ) {
    void slot.exited.then(() => this.discard());
  }

  /** Whether the spare has been claimed or discarded. */
  get isTaken(): boolean {
    return this.taken;
  }

  /** Claims the spare for a leaf. The lease passes to the caller. */
  take(): void {
    this.taken = true;
    this.leave(this);
  }

  async discard(): Promise<void> {
    if (this.taken) return;
    this.take();
    await this.lease.free('the spare is not wanted');
  }

  candidate(nowMs: number): Candidate | undefined {
    if (this.taken) return undefined;
    const idleMs = nowMs - this.since;
    const base = { id: `spare slot ${this.slot.id}`, freesMb: this.lease.charge.mb, savesMs: SAVES_MS, idleMs };
    return { ...base, action: 'destroy', keptAs: 'spare' };
  }

  async reclaim(): Promise<void> {
    await this.discard();
  }
}

export class SparePool implements Parked {
  private readonly parked: Spare[] = [];
  private wanted = 0;
  private making = false;
  private timer: NodeJS.Timeout | undefined;
  private spareMb = GUESS_MB;

  constructor(private readonly options: SpareOptions) {}

  get size(): number {
    return this.parked.length;
  }

  get target(): number {
    return this.wanted;
  }

  /** Sets the number of spares to keep; surplus spares are discarded. */
  setTarget(count: number): void {
    this.wanted = count;
    for (const spare of this.parked.slice(count)) void spare.discard();
    this.schedule(0);
  }

  /**
   * Claims the oldest spare. Its lease passes to the caller.
   * @param limits limits of the leaf; the size of its scratch must be that of the spares
   */
  take(limits: SandboxLimits): Spare | undefined {
    // The scratch is already mounted; its size is the only limit that cannot be changed later.
    if (limits.scratchMb !== this.options.limits.scratchMb) return undefined;
    for (;;) {
      const spare = this.parked[0];
      if (spare === undefined) return undefined;
      if (!spare.slot.isUsable) {
        void spare.discard();
        continue;
      }
      spare.take();
      this.schedule(REFILL_DELAY_MS);
      return spare;
    }
  }

  async drop(): Promise<void> {
    this.wanted = 0;
    clearTimeout(this.timer);
    await Promise.all(this.parked.slice().map((spare) => spare.discard()));
  }

  private schedule(delayMs: number): void {
    if (this.timer !== undefined || this.making || this.parked.length >= this.wanted) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      void this.refill();
    }, delayMs).unref();
  }

  private async refill(): Promise<void> {
    this.making = true;
    let delayMs = 0;
    const { zygote, pool, factory } = this.options;
    while (this.parked.length < this.wanted && zygote.isReady) {
      // POLICY: spares use only free memory; they never wait in the queue with requests.
      const charge = pool.tryAcquire(this.spareMb, 'spare');
      if (charge === undefined || !(await this.parkOne(zygote, charge, factory))) {
        delayMs = RETRY_MS;
        break;
      }
    }
    this.making = false;
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
    const spare = new Spare(slot, lease, (gone) => {
      this.left(gone);
    });
    this.parked.push(spare);
    this.options.pool.add(spare);
    setTimeout(() => {
      void this.measure(spare);
    }, MEASURE_AFTER_MS).unref();
    if (this.parked.length > this.wanted) await spare.discard();
    return true;
  }

  private async measure(spare: Spare): Promise<void> {
    const usage = await spare.slot.usage().catch(() => undefined);
    if (usage === undefined || spare.isTaken) return;
    this.spareMb = Math.max(1, Math.ceil(usage.memBytes / MEGABYTE));
    spare.lease.charge.measured(this.spareMb);
  }

  private left(spare: Spare): void {
    const index = this.parked.indexOf(spare);
    if (index >= 0) this.parked.splice(index, 1);
    this.options.pool.remove(spare);
  }
}
