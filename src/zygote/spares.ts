/**
 * Parked children of one zygote: forked, confined and admitted, waiting only for a function's code. A cold start that
 * finds one skips the fork. They are made in the background, of memory that is free, and given up before zygotes.
 */
import type { Candidate } from '../sandbox/evictor';
import type { SandboxFactory } from '../sandbox/factory';
import type { Charge, Holder, MemoryPool } from '../sandbox/pool';
import { MEGABYTE, type Slot } from '../sandbox/slot';
import type { SandboxLimits } from '../sandbox/types';
import type { Parked, ZygoteProcess } from './live';

export interface SpareOptions {
  factory: SandboxFactory;
  pool: MemoryPool;
  zygote: ZygoteProcess;
  /** Limits that a spare is made with; a function with others costs one more order to the helper. */
  limits: SandboxLimits;
}

/** Charged until a spare's memory has been measured, MB: an idle forked Python's private pages. */
const GUESS_MB = 4;
/** What a spare saves against a fork, ms (design.md: fork to ready 0.7 ms, GO 0.3 ms; more for large zygotes). */
const SAVES_MS = 1;
/** Refilling waits until the request that took a spare has had the CPUs for a moment, ms. */
const REFILL_DELAY_MS = 6;
/** A spare has joined its cgroups and rehearsed a request (guest/warm.py) by then, ms. */
const MEASURE_AFTER_MS = 200;
/** Wait before a refill is tried again for which there was no memory or no slot, ms. */
const RETRY_MS = 500;

/** One parked child. */
export class Spare implements Holder {
  private readonly since = Date.now();
  private taken = false;

  constructor(
    readonly slot: Slot,
    readonly charge: Charge,
    /** Called when it is claimed or given up. */
    private readonly leave: (spare: Spare) => void,
    /** Called when it was given up and is freed. */
    private readonly freed: () => void,
  ) {
    void slot.exited.then(() => this.discard());
  }

  /** Whether it is a leaf's or given up. */
  get isTaken(): boolean {
    return this.taken;
  }

  /** Claims it for a leaf; what it holds is then the caller's. */
  take(): void {
    this.taken = true;
    this.leave(this);
  }

  async discard(): Promise<void> {
    if (this.taken) return;
    this.take();
    await this.slot.destroy();
    this.charge.release();
    this.freed();
  }

  candidate(nowMs: number): Candidate | undefined {
    if (this.taken) return undefined;
    const idleMs = nowMs - this.since;
    const base = { id: `spare slot ${this.slot.id}`, freesMb: this.charge.mb, savesMs: SAVES_MS, idleMs };
    return { ...base, action: 'destroy', keptAs: 'spare' };
  }

  async relieve(): Promise<void> {
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

  /** Keeps `count` spares from now on; surplus ones go. */
  setTarget(count: number): void {
    this.wanted = count;
    for (const spare of this.parked.slice(count)) void spare.discard();
    this.schedule(0);
  }

  /** Claims the spare that has been parked longest. The caller takes over the zygote's count of one descendant. */
  take(): Spare | undefined {
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
      // POLICY: spares take only memory that is free; they never wait in line with requests.
      const charge = pool.tryAcquire(this.spareMb);
      if (charge === undefined || !(await this.parkOne(zygote, charge, factory))) {
        delayMs = RETRY_MS;
        break;
      }
    }
    this.making = false;
    if (zygote.isReady) this.schedule(delayMs);
  }

  private async parkOne(zygote: ZygoteProcess, charge: Charge, factory: SandboxFactory): Promise<boolean> {
    zygote.retain();
    zygote.inFlight++;
    let slot: Slot | undefined;
    try {
      slot = await factory.park(zygote.slot, this.options.limits);
    } catch {
      await slot?.destroy();
      charge.release();
      zygote.release();
      return false;
    } finally {
      zygote.inFlight--;
    }
    const spare = new Spare(
      slot,
      charge,
      (gone) => {
        this.left(gone);
      },
      () => {
        zygote.release();
      },
    );
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
    spare.charge.measured(this.spareMb);
  }

  private left(spare: Spare): void {
    const index = this.parked.indexOf(spare);
    if (index >= 0) this.parked.splice(index, 1);
    this.options.pool.remove(spare);
  }
}
