/**
 * A sandbox that serves one function. It serves one request at a time, unless ol.yaml sets `concurrency`, and is frozen
 * while idle. After a failure it gets no further requests, and is destroyed when its other requests have ended.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Stats } from '../../metrics';
import { ArgyleError } from '../../errors';
import type { ErrorCode } from '../../errors';
import type { GuestFailure } from '../../sandbox/answer/failure';
import { FINAL_OUTPUT_MS } from '../../sandbox/boot';
import { timeAdvice } from '../../sandbox/death';
import type { Sandbox, StartKind, ZygoteTier } from '../../sandbox/types';
import type { Call } from './call/call';
import type { CodeVersion } from '../code/version';
import { departureOf, type ColdCause, type Departure } from './start/cold-cause';
import { describeSandbox } from './describe';
import { Exchange, unanswered, type Outcome } from './call/exchange';
import type { Invocation } from './call/invocation';
import type { LambdaLog } from '../ports';
import type { PauseTurns } from './pause-turns';
import { whenImported } from './start/import-watch';
import { Hops } from './call/redirects';
import { thaw } from './call/thaw';

/** The contract's message, followed by the limit that a request exceeded. */
function explained({ code, message }: { code: ErrorCode; message: string }, runtimeMs: number): string {
  return code === 'TIMEOUT' ? `${message}: ${timeAdvice(runtimeMs)}` : message;
}

/** Message for a sandbox that ended before its first request. */
export const ENDED_EARLY = 'the sandbox ended before it served a request';

export interface InstanceOptions {
  stats: Stats;
  log: LambdaLog;
  /** Idle time before freezing, in ms. A negative value disables freezing. */
  pauseAfterMs: number;
  now: () => number;
  /** Gives pauses their turns; shared by all functions. */
  pauses: Pick<PauseTurns, 'add'>;
  /** Time to make the sandbox, in ms. */
  madeMs?: number;
  /** Why the sandbox was made. */
  cause?: ColdCause;
}

/** The result of a request. `retry`: the instance was dead before the request reached it. */
export type ServeResult = 'done' | 'cancelled' | 'retry';

export class Instance {
  /** Time at which the instance became idle, in ms of options.now(). */
  idleSince: number;
  private readonly madeAtMs: number;
  private pauseTimer: NodeJS.Timeout | undefined;
  /** Exchanges of the requests that run. */
  private readonly exchanges = new Set<Exchange>();
  /** Number of requests for which the instance was chosen and that have not ended. */
  private requests = 0;
  /** Number of all requests so far for which the instance was chosen. */
  private requested = 0;
  /** Why the instance gets no further requests while it still serves others. */
  private retired: string | undefined;
  /** The guest's own report of the reason why it ended. */
  private report: GuestFailure | undefined;
  private served = 0;
  /** Whether a request was passed to the sandbox. A later end of the sandbox is no failed start. */
  private asked = false;
  /** Whether a thaw was refused. The guest has not seen a request that was sent during the attempt. */
  private stayedFrozen = false;
  private gone: Promise<void> | undefined;

  /** Takes over one reference to `code`, and releases it when the sandbox is gone. */
  constructor(
    readonly sandbox: Sandbox,
    readonly code: CodeVersion,
    private readonly options: InstanceOptions,
  ) {
    this.idleSince = this.madeAtMs = options.now();
    void sandbox.life.exited.then(() => {
      for (const exchange of this.exchanges) exchange.sandboxExited();
    });
  }

  /**
   * Whether the sandbox ended by itself before its first request. The code is at fault, so the next instance would end,
   * too.
   */
  get failedStart(): boolean {
    return !this.asked && this.sandbox.life.end?.by === 'itself';
  }

  /** False once the sandbox was destroyed, was evicted, has ended by itself, or has failed a request. */
  get usable(): boolean {
    return this.sandbox.life.isAlive && this.retired === undefined;
  }

  /** Number of requests for which the instance is chosen now. */
  get active(): number {
    return this.requests;
  }

  /** Maximum number of requests at the same time. */
  get capacity(): number {
    return this.code.facts.config.concurrency ?? 1;
  }

  /** Number of requests that were answered in full. */
  get timesServed(): number {
    return this.served;
  }

  /**
   * Describes how the instance was made, for the first call, which has waited since `sinceMs`. Undefined for a warm
   * call.
   */
  making(
    sinceMs: number,
  ): { start: StartKind; tier?: ZygoteTier | undefined; ms: number; cause: ColdCause } | undefined {
    if (this.served > 0 || this.madeAtMs < sinceMs) return undefined;
    const { start, tier } = this.sandbox;
    return { start, tier, ms: this.options.madeMs ?? 0, cause: this.options.cause ?? 'first' };
  }

  /** How the instance ended. Valid once the instance is not usable any more. */
  get departure(): Departure {
    return departureOf(this.sandbox.life.end);
  }

  /** Call this when the instance is idle. It is frozen after pauseAfterMs. */
  park(): void {
    this.idleSince = this.options.now();
    if (this.options.pauseAfterMs < 0) return;
    // POLICY: an instance may still import before its first request. If such an instance were frozen, its first call
    // would wait for the rest of the import.
    if (this.asked) this.pauseSoon();
    else
      void whenImported(this.sandbox).then(() => {
        if (!this.asked && this.requests === 0 && this.usable) this.pauseSoon();
      });
  }

  private pauseSoon(): void {
    clearTimeout(this.pauseTimer);
    const { requested } = this;
    this.pauseTimer = setTimeout(() => {
      // A request may come, and even end, before the pause has its turn.
      this.options.pauses.add(async () => {
        if (this.requested === requested && this.usable) await this.pause();
      });
    }, this.options.pauseAfterMs);
    this.pauseTimer.unref();
  }

  /** Call this as soon as the instance is chosen for a request, before any await. */
  unpark(): void {
    this.requests++;
    this.requested++;
    clearTimeout(this.pauseTimer);
  }

  /** Call this when a request of the instance has ended. @returns the number of remaining requests */
  leave(): number {
    this.requests--;
    if (this.requests === 0 && this.retired !== undefined) void this.destroy(this.retired);
    return this.requests;
  }

  /**
   * Serves one request after unpark(), and the requests of its redirects. After a result other than `done` the sandbox
   * is destroyed, now or after its other requests. A client that goes away ends only a sandbox that serves one request
   * at a time.
   * @param runtimeMs time limit of the whole exchange, 0 for none
   * @throws ArgyleError SANDBOX_DEAD, TIMEOUT with the contract's message when no response had begun
   */
  async serve(invocation: Invocation, runtimeMs: number): Promise<ServeResult> {
    // No await for a running sandbox: the memory pool could pause the idle sandbox before the request is sent.
    const awake = this.wake(invocation.call);
    if (!(awake === true || (await awake))) {
      if (this.failedStart) throw await this.failure('SANDBOX_DEAD', ENDED_EARLY);
      return 'retry';
    }
    const startMs = this.options.now();
    const hops = new Hops(invocation);
    this.asked = true;
    invocation.call.sent();
    // With several requests at once, output cannot be assigned to one of them.
    this.sandbox.running?.(this.requests === 1 ? invocation.call.id : '');
    let outcome: Outcome;
    do {
      const leftMs = runtimeMs === 0 ? 0 : Math.max(1, runtimeMs - (this.options.now() - startMs));
      const exchange = new Exchange(this.sandbox, hops.current, leftMs);
      this.exchanges.add(exchange);
      outcome = await exchange.run();
      this.exchanges.delete(exchange);
    } while (outcome.kind === 'done' && hops.next());
    invocation.call.served();
    this.sandbox.running?.('');
    this.options.stats.record('LambdaInstance-RoundTrip', this.options.now() - startMs);
    switch (outcome.kind) {
      case 'done':
        this.served++;
        return 'done';
      case 'cancelled':
        // POLICY: a guest with several requests ends the cancelled one itself (concurrent.py). Its other clients notice
        // nothing.
        if (this.capacity === 1) void this.destroy('the client went away');
        return 'cancelled';
      case 'broken':
        if (hops.isPending) throw await this.failure(outcome.code, outcome.message);
        invocation.call.fault = new ArgyleError(outcome.code, explained(outcome, runtimeMs));
        // The sandbox is still busy with the response that it did not finish.
        this.retire(outcome.message);
        return 'cancelled';
      case 'failed': {
        // POLICY: only an instance that has served a request may have died unnoticed. A new instance that fails is at
        // fault.
        const unseen = outcome.unsent || (this.stayedFrozen && !invocation.body.consumed);
        if (unseen && this.served > 0 && !hops.begun) {
          this.retire('found dead');
          return 'retry';
        }
        const report = outcome.report ?? (await this.othersReport(outcome));
        const message = report === undefined ? explained(outcome, runtimeMs) : unanswered(hops.current, report.message);
        throw await this.failure(outcome.code, message, report);
      }
    }
  }

  /** Retires the sandbox. The error has the contract's message and, after it, the guest's own text. */
  async failure(code: ErrorCode, why: string, report?: GuestFailure): Promise<ArgyleError> {
    this.report ??= report;
    if (this.requests > 1) this.retired ??= why;
    // A guest that reports why it ends also ends its other requests.
    if (this.requests > 1 && report !== undefined) void this.destroy(why);
    const state = await this.describe();
    this.retire(why);
    const more = report === undefined || report.trace === '' ? '' : `\n${report.trace}`;
    return new ArgyleError(code, `RoundTrip failed: ${why}\n\nSandbox State: ${state.trimEnd()}\n${more}`);
  }

  /**
   * Returns the guest's report of its end, for another request that the end cut off. The guest sends the report as the
   * answer to one request only. The worker may notice the end of the other connections before the report.
   */
  private async othersReport({ code }: { code: ErrorCode }): Promise<GuestFailure | undefined> {
    if (code !== 'SANDBOX_DEAD' || this.capacity === 1) return undefined;
    if (this.report === undefined && this.exchanges.size > 0) await sleep(FINAL_OUTPUT_MS);
    return this.report;
  }

  /**
   * POLICY: other requests continue, each within its own time limit. The sandbox gets no further request, because its
   * state is unknown.
   */
  private retire(why: string): void {
    if (this.requests <= 1) void this.destroy(why);
    else this.retired ??= why;
  }

  /** The sandbox's description. Never rejects. */
  describe(): Promise<string> {
    return describeSandbox(this.sandbox);
  }

  /** Destroys the sandbox. Resolves once the sandbox is gone and the code is released. Idempotent, never rejects. */
  destroy(reason: string): Promise<void> {
    clearTimeout(this.pauseTimer);
    this.gone ??= this.sandbox.destroy(reason).finally(() => {
      this.code.release();
    });
    return this.gone;
  }

  private async pause(): Promise<void> {
    try {
      await this.sandbox.pause();
    } catch (thrown) {
      this.options.log.debug({ id: this.sandbox.id, err: thrown }, 'could not pause an idle sandbox');
      void this.destroy('could not be paused');
    }
  }

  /** Orders the thaw of a paused sandbox. Returns false when the sandbox is unusable. */
  private wake(call: Call): boolean | Promise<boolean> {
    if (!this.usable) {
      void this.destroy('found dead');
      return false;
    }
    // The memory pool pauses sandboxes, too. The function's time limit begins once the sandbox runs.
    if (!this.sandbox.life.isPaused) return true;
    return thaw(this.sandbox, call, this.options, (refused) => {
      this.stayedFrozen = refused;
      void this.destroy('could not be resumed');
    });
  }
}
