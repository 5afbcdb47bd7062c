/** A sandbox that serves one function: one request at a time, frozen while idle, gone at the first failure. */
import type { Stats } from '../metrics';
import { ArgyleError } from '../errors';
import type { ErrorCode } from '../errors';
import type { Sandbox } from '../sandbox/types';
import type { CodeVersion } from './code-version';
import { Exchange, type Outcome } from './exchange';
import type { Invocation } from './invocation';
import type { LambdaLog } from './ports';
import { Hops } from './redirects';

/** Asking a sandbox for its description must not hold up an answer for longer than this. */
const DEBUG_MS = 1000;

/** Of a sandbox that ended before its first request. */
export const ENDED_EARLY = 'the sandbox ended before it served a request';

export interface InstanceOptions {
  stats: Stats;
  log: LambdaLog;
  /** Idle ms before freezing; negative never freezes. */
  pauseAfterMs: number;
  now: () => number;
}

/** What became of a request: `retry` when this instance turned out dead before the request reached it. */
export type ServeResult = 'done' | 'cancelled' | 'retry';

export class Instance {
  /** When it became idle, ms of options.now(). */
  idleSince: number;
  private paused = false;
  private pausing: Promise<void> | undefined;
  private pauseTimer: NodeJS.Timeout | undefined;
  private exchange: Exchange | undefined;
  private served = 0;
  /** It was given a request, which was told what became of it. */
  private asked = false;
  private ended: boolean;
  private gone: Promise<void> | undefined;

  /** Takes over one hold of `code`, released when the sandbox is gone. */
  constructor(
    readonly sandbox: Sandbox,
    readonly code: CodeVersion,
    private readonly options: InstanceOptions,
  ) {
    this.idleSince = options.now();
    this.ended = sandbox.dead !== undefined;
    void sandbox.exited.then(({ evicted = false, lost = false }) => {
      this.ended = !evicted && !lost;
      this.exchange?.sandboxExited();
    });
  }

  /** It ended by itself before it was given any request: its code is at fault, and so will be the next one's. */
  get stillborn(): boolean {
    return !this.asked && this.ended;
  }

  /** False once destroyed, evicted or ended by itself. */
  get usable(): boolean {
    return this.gone === undefined && this.sandbox.dead === undefined;
  }

  get isPaused(): boolean {
    return this.paused;
  }

  /** Requests that it has answered in full. */
  get timesServed(): number {
    return this.served;
  }

  /** To be called when it has nothing to do: it is frozen after pauseAfterMs. */
  park(): void {
    this.idleSince = this.options.now();
    if (this.options.pauseAfterMs < 0) return;
    this.pauseTimer = setTimeout(() => {
      this.pausing = this.pause().finally(() => (this.pausing = undefined));
    }, this.options.pauseAfterMs);
    this.pauseTimer.unref();
  }

  /** To be called as soon as it is chosen for a request, before anything is awaited. */
  unpark(): void {
    clearTimeout(this.pauseTimer);
  }

  /**
   * Serves one request after unpark(), and those that its redirects lead to. After anything but `done` the sandbox is being destroyed.
   * @param runtimeMs deadline of the whole exchange, 0 for none
   * @throws ArgyleError SANDBOX_DEAD, TIMEOUT with the contract's message when no response had begun
   */
  async serve(invocation: Invocation, runtimeMs: number): Promise<ServeResult> {
    if (!(await this.wake())) {
      if (this.stillborn) throw await this.failure('SANDBOX_DEAD', ENDED_EARLY);
      return 'retry';
    }
    const startMs = this.options.now();
    const hops = new Hops(invocation);
    this.asked = true;
    let outcome: Outcome;
    do {
      const leftMs = runtimeMs === 0 ? 0 : Math.max(1, runtimeMs - (this.options.now() - startMs));
      this.exchange = new Exchange(this.sandbox, hops.current, leftMs);
      outcome = await this.exchange.run();
    } while (outcome.kind === 'done' && hops.next());
    this.exchange = undefined;
    this.options.stats.record('LambdaInstance-RoundTrip', this.options.now() - startMs);
    switch (outcome.kind) {
      case 'done':
        this.served++;
        return 'done';
      case 'cancelled':
        void this.destroy('the client went away');
        return 'cancelled';
      case 'broken':
        if (hops.isPending) throw await this.failure(outcome.code, outcome.message);
        // A sandbox that did not finish its response is still busy with it.
        void this.destroy(outcome.message);
        return 'cancelled';
      case 'failed': {
        // POLICY: only an instance that has worked before may have died unnoticed; a new one that fails is at fault.
        if (outcome.unsent && this.served > 0 && !hops.begun) {
          void this.destroy('found dead');
          return 'retry';
        }
        throw await this.failure(outcome.code, outcome.message, outcome.trace);
      }
    }
  }

  /** Destroys the sandbox and tells of it in the contract's words, and behind them what the guest had to say. */
  async failure(code: ErrorCode, why: string, trace = ''): Promise<ArgyleError> {
    const state = await this.describe();
    void this.destroy(why);
    const more = trace === '' ? '' : `\n\n${trace}`;
    return new ArgyleError(code, `RoundTrip failed: ${why}\n\nSandbox State: ${state.trimEnd()}${more}`);
  }

  /** The sandbox's description; never rejects and never takes longer than a second. */
  async describe(): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(resolve, DEBUG_MS, `SANDBOX ${this.sandbox.id} does not answer\n`);
    });
    const text = this.sandbox
      .debugString()
      .catch(
        (thrown: unknown) => `SANDBOX ${this.sandbox.id}: ${thrown instanceof Error ? thrown.message : 'failed'}\n`,
      );
    try {
      return await Promise.race([text, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Idempotent, never rejects; resolves once the sandbox is gone and the code let go. */
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
      this.paused = true;
    } catch (thrown) {
      this.options.log.debug({ id: this.sandbox.id, err: thrown }, 'could not pause an idle sandbox');
      // Unfit for use: either dead already, or in a state that nobody knows.
      void this.destroy('could not be paused');
    }
  }

  /** False when there is nothing to wake. */
  private async wake(): Promise<boolean> {
    if (this.pausing !== undefined) await this.pausing;
    if (!this.usable) {
      void this.destroy('found dead');
      return false;
    }
    if (!this.paused) return true;
    const startMs = this.options.now();
    try {
      await this.sandbox.resume();
    } catch (thrown) {
      this.options.log.debug({ id: this.sandbox.id, err: thrown }, 'could not resume a paused sandbox');
      void this.destroy('could not be resumed');
      return false;
    }
    this.paused = false;
    const ms = this.options.now() - startMs;
    this.options.stats.record('LambdaInstance-WaitSandbox', ms);
    this.options.stats.record('LambdaInstance-WaitSandbox-Unpause', ms);
    return true;
  }
}
