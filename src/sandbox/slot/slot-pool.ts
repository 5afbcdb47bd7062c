/**
 * Makes slots, and keeps some slots ready. A request takes a ready slot without waiting; the pool makes the replacement
 * in the background.
 */
import { closeSync } from 'node:fs';
import { ArgyleError } from '../../errors';
import type { HelperClient } from '../../helper/client';
import { Pool } from '../../helper/protocol';
import type { Stats } from '../../metrics';
import { LogTap, type LogSink } from '../log-tap';
import { limitArgs } from './limits';
import { Slot } from './slot';
import type { SlotHome } from './slot-home';
import type { SandboxLimits } from '../types';
import type { PackageViews } from './views';

export interface SlotPoolOptions {
  /** Returns the running helper; starts a new helper after the last one has ended. */
  helper: () => Promise<HelperClient>;
  home: SlotHome;
  /** The views that sandboxes see on /packages. */
  views: PackageViews;
  /** Limits of slots that are made ahead. */
  limits: SandboxLimits;
  /** Number of slots to keep ready; 0 makes each slot on demand. */
  ready: number;
  /** Whether the pool also spawns the processes of fresh leaves ahead. A zygote cannot fork into such a slot. */
  prespawn?: boolean;
  stats: Stats;
  log?: LogSink;
}

/** Back-off after a failure to make a slot ahead, in ms. */
const RETRY_MS = 1000;
/** Back-off when there was no helper, in ms. The request for the next helper already waits for that helper. */
const NO_HELPER_RETRY_MS = 20;
const NO_HELPER: ReadonlySet<string> = new Set(['HELPER_GONE', 'HELPER_START']);
/** Delay before a taken slot is replaced, in ms. Until then, the CPUs serve the request that took the slot. */
const REFILL_DELAY_MS = 10;
/** The same delay, in ms, when the request waits for a fresh Python. A fresh Python starts in 10 ms of CPU time. */
const FRESH_REFILL_DELAY_MS = 25;
/** Limit for slots that are made concurrently in the background. A higher limit would delay requests. */
const CONCURRENT = 4;

export class SlotPool {
  private readonly readySlots: Slot[] = [];
  private making = 0;
  private retry: NodeJS.Timeout | undefined;
  private later: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly options: SlotPoolOptions) {}

  get views(): PackageViews {
    return this.options.views;
  }

  /** Number of ready slots. */
  get ready(): number {
    return this.readySlots.length;
  }

  /** Starts making slots ahead. */
  start(): void {
    this.refill();
  }

  /**
   * Returns a slot of the lambda pool with these limits, a ready one if possible. Ready slots have a scratch of the
   * default size. The scratch is a mount whose size no order can change, so another size needs a new slot.
   *
   * @throws ArgyleError as make() and AG_LIMITS do.
   */
  async take(limits: SandboxLimits): Promise<Slot> {
    if (limits.scratchMb !== this.options.limits.scratchMb) return this.make(Pool.LAMBDA, limits);
    for (let slot = this.readySlots.shift(); slot !== undefined; slot = this.readySlots.shift()) {
      this.refillSoon();
      if (!slot.isUsable) {
        void slot.destroy();
        continue;
      }
      slot.orderLimits(limits);
      return slot;
    }
    this.refill();
    return this.make(Pool.LAMBDA, limits);
  }

  /**
   * Makes one slot.
   *
   * @param pool Pool.LAMBDA or Pool.INSTALL.
   * @throws ArgyleError SANDBOX_CREATE when no id is left or the helper cannot make it, HELPER_* otherwise.
   */
  async make(pool: number, limits: SandboxLimits): Promise<Slot> {
    const startMs = performance.now();
    const { home, helper } = this.options;
    const client = await helper();
    const { id, fds, socketPath } = home.take();
    const slot = new Slot({
      client,
      id,
      pool,
      limits,
      log: new LogTap(fds.logRead, `slot ${id}`, this.options.log, fds.errRead),
      socketPath,
      release: () => {
        home.give(id);
      },
    });
    try {
      await client.request('SLOT', { slot: id, role: pool, arg: limitArgs(limits) }, [
        fds.listen,
        fds.logWrite,
        fds.errWrite,
      ]);
    } catch (error) {
      await slot.discard();
      throw error;
    } finally {
      closeSync(fds.listen);
      closeSync(fds.logWrite);
      closeSync(fds.errWrite);
    }
    this.options.stats.record('fresh-cgroup', performance.now() - startMs);
    return slot;
  }

  /** Destroys the ready slots and stops making slots ahead. Slots in use stay with their users. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.retry);
    clearTimeout(this.later);
    await Promise.all(this.readySlots.splice(0).map((slot) => slot.destroy()));
  }

  /**
   * Schedules the replacement of a taken slot.
   * POLICY: the replacement waits until the request that took the slot has had the CPUs, unless fewer than half of the
   * slots are ready.
   */
  private refillSoon(): void {
    if (2 * this.readySlots.length < this.options.ready) {
      setImmediate(() => {
        this.refill();
      });
      return;
    }
    const delayMs = this.options.prespawn === true ? FRESH_REFILL_DELAY_MS : REFILL_DELAY_MS;
    this.later ??= setTimeout(() => {
      this.later = undefined;
      this.refill();
    }, delayMs).unref();
  }

  private refill(): void {
    while (!this.closed && this.retry === undefined && this.making < CONCURRENT) {
      if (this.readySlots.length + this.making >= this.options.ready) return;
      this.making++;
      void this.makeAhead();
    }
  }

  private async makeAhead(): Promise<void> {
    try {
      const slot = await this.make(Pool.LAMBDA, this.options.limits);
      slot.preconnect();
      if (this.options.prespawn === true) await this.prespawn(slot);
      if (this.closed) void slot.destroy();
      else this.keep(slot);
    } catch (error) {
      // The next request fails with the same error and reports it. This code only sets the back-off.
      const noHelper = error instanceof ArgyleError && NO_HELPER.has(error.code);
      this.pause(noHelper ? NO_HELPER_RETRY_MS : RETRY_MS);
    } finally {
      this.making--;
      this.refill();
    }
  }

  private async prespawn(slot: Slot): Promise<void> {
    try {
      await slot.prespawn();
    } catch (error) {
      await slot.destroy();
      throw error;
    }
  }

  private keep(slot: Slot): void {
    this.readySlots.push(slot);
    void slot.exited.then(() => {
      const index = this.readySlots.indexOf(slot);
      if (index < 0) return;
      this.readySlots.splice(index, 1);
      void slot.destroy();
      // The guest of a ready slot ended. A new guest may end as well, so the replacement waits.
      this.pause(slot.isLost ? NO_HELPER_RETRY_MS : RETRY_MS);
    });
  }

  private pause(ms: number): void {
    this.retry ??= setTimeout(() => {
      this.retry = undefined;
      this.refill();
    }, ms).unref();
  }
}
