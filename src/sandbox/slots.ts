/**
 * Makes slots, and keeps some made ahead: a request takes a ready one without waiting, and the replacement is made
 * in the background after it.
 */
import { closeSync } from 'node:fs';
import { ArgyleError } from '../errors';
import type { HelperClient } from '../helper/client';
import { Pool } from '../helper/protocol';
import type { Stats } from '../metrics';
import { LogTap, type LogSink } from './log-tap';
import { Slot, limitArgs } from './slot';
import type { SlotHome } from './slot-home';
import type { SandboxLimits } from './types';

export interface SlotPoolOptions {
  /** The running helper; starts a new one after the last has ended. */
  helper: () => Promise<HelperClient>;
  home: SlotHome;
  /** Limits of slots that are made ahead. */
  limits: SandboxLimits;
  /** How many to keep ready; 0 makes each on demand. */
  ready: number;
  /** Whether fresh leaves are what they are for, so that the process can be born ahead as well; none can be forked in. */
  forFresh?: boolean;
  stats: Stats;
  log?: LogSink;
}

/** Wait before the pool tries again to make slots ahead after a failure, ms. */
const RETRY_MS = 1000;
/** The same where there was no helper: asking for the next one already waits for it. */
const NO_HELPER_RETRY_MS = 20;
const NO_HELPER: ReadonlySet<string> = new Set(['HELPER_GONE', 'HELPER_START']);
/** Replacing a slot waits until the request that took it has had the CPUs for a moment, ms. */
const REFILL_DELAY_MS = 10;
/** The same where the request waits for Python to start, which takes a processor for 10 ms. */
const FRESH_REFILL_DELAY_MS = 25;
/** Slots that are made at the same time in the background; more would only delay requests behind them. */
const CONCURRENT = 4;

export class SlotPool {
  private readonly readySlots: Slot[] = [];
  private making = 0;
  private retry: NodeJS.Timeout | undefined;
  private later: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(private readonly options: SlotPoolOptions) {}

  /** How many slots are ready now. */
  get ready(): number {
    return this.readySlots.length;
  }

  /** Starts making slots ahead. */
  start(): void {
    this.refill();
  }

  /**
   * A slot for the lambda pool with these limits; a ready one if there is one.
   *
   * @throws ArgyleError as make() and AG_LIMITS do.
   */
  async take(limits: SandboxLimits): Promise<Slot> {
    for (let slot = this.readySlots.shift(); slot !== undefined; slot = this.readySlots.shift()) {
      this.refillSoon();
      // The scratch is a mount of a fixed size: of the limits, only that cannot be changed later.
      if (!slot.isUsable || slot.limits.scratchMb !== limits.scratchMb) {
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
      log: new LogTap(fds.logRead, `slot ${id}`, this.options.log),
      socketPath,
      release: () => {
        home.give(id);
      },
    });
    try {
      await client.request('SLOT', { slot: id, role: pool, arg: limitArgs(limits) }, [fds.listen, fds.logWrite]);
    } catch (error) {
      await slot.discard();
      throw error;
    } finally {
      closeSync(fds.listen);
      closeSync(fds.logWrite);
    }
    this.options.stats.record('fresh-cgroup', performance.now() - startMs);
    return slot;
  }

  /** Destroys the ready slots and makes no more ahead. Slots in use stay with their users. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.retry);
    clearTimeout(this.later);
    await Promise.all(this.readySlots.splice(0).map((slot) => slot.destroy()));
  }

  /**
   * Makes up for a slot that was taken.
   * POLICY: the request that took it has the processors for a moment, unless only half of the slots are left.
   */
  private refillSoon(): void {
    if (2 * this.readySlots.length < this.options.ready) {
      setImmediate(() => {
        this.refill();
      });
      return;
    }
    const delayMs = this.options.forFresh === true ? FRESH_REFILL_DELAY_MS : REFILL_DELAY_MS;
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
      slot.prepareHttp();
      if (this.options.forFresh === true) await this.bear(slot);
      if (this.closed) void slot.destroy();
      else this.keep(slot);
    } catch (error) {
      // The next request meets the same error and reports it; here only the pace matters.
      const noHelper = error instanceof ArgyleError && NO_HELPER.has(error.code);
      this.pause(noHelper ? NO_HELPER_RETRY_MS : RETRY_MS);
    } finally {
      this.making--;
      this.refill();
    }
  }

  private async bear(slot: Slot): Promise<void> {
    try {
      await slot.bear();
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
      // Its guest ended while it waited: another one might as well, so not at once.
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
