/** Whether the worker can do its work, by a list of named checks. What `/readyz` answers, open to everybody. */
import { ArgyleError, ERRORS, errnoOf } from '../errors';
import type { EventLog } from './ports';

/** For this long an answer is given again, ms: probes of several load balancers cost one round of checks a second. */
const CACHE_MS = 1000;
/** A check that takes longer has failed, ms. It is not started again before it ends. */
const CHECK_MS = 1000;

/** Why a check failed, in words that may be shown to everybody. */
export class NotReady extends Error {}

export interface ReadyCheck {
  name: string;
  /** Throws or rejects when the worker is not ready; NotReady's message is shown as it is. */
  check: () => Promise<unknown>;
}

export interface CheckResult {
  ok: boolean;
  why?: string;
}

export interface ReadyReport {
  ready: boolean;
  checks: Record<string, CheckResult>;
}

/** A failure without paths, addresses and settings of this worker: those stand in the log. Pure. */
export function whyOf(thrown: unknown): string {
  if (thrown instanceof NotReady) return thrown.message;
  const errno = errnoOf(thrown);
  if (errno !== undefined) return `${errno.syscall ?? 'a call'} failed with ${errno.code ?? 'an error'}`;
  return thrown instanceof ArgyleError ? `${thrown.code}: ${ERRORS[thrown.code].about}` : 'the check failed';
}

export class Readiness {
  private readonly running = new Map<string, Promise<unknown>>();
  /** Names of the checks that failed last time. */
  private readonly failing = new Set<string>();
  private cached: { report: Promise<ReadyReport>; untilMs: number } | undefined;
  private stopping = false;

  /** @param now milliseconds of a clock that never goes back */
  constructor(
    private readonly checks: readonly ReadyCheck[],
    private readonly log: Pick<EventLog, 'info' | 'warn'>,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** From now on the worker is not ready, whatever the checks say. */
  stop(): void {
    this.stopping = true;
  }

  /** Runs every check, unless that was done within the last second. Never rejects. */
  async report(): Promise<ReadyReport> {
    if (this.stopping) return { ready: false, checks: { worker: { ok: false, why: 'the worker is stopping' } } };
    if (this.cached === undefined || this.now() >= this.cached.untilMs) {
      const report = this.runAll();
      // Callers share a round that is under way, and then its result.
      this.cached = { report, untilMs: Infinity };
      void report.then(() => (this.cached = { report, untilMs: this.now() + CACHE_MS }));
    }
    return this.cached.report;
  }

  private async runAll(): Promise<ReadyReport> {
    const results = await Promise.all(this.checks.map(async (check) => [check.name, await this.run(check)] as const));
    return { ready: results.every(([, { ok }]) => ok), checks: Object.fromEntries(results) };
  }

  private async run(check: ReadyCheck): Promise<CheckResult> {
    const { name } = check;
    try {
      await this.bounded(check);
      if (this.failing.delete(name)) this.log.info({ check: name }, 'ready again');
      return { ok: true };
    } catch (err) {
      if (!this.failing.has(name)) this.log.warn({ check: name, err }, 'not ready');
      this.failing.add(name);
      return { ok: false, why: whyOf(err) };
    }
  }

  private async bounded(check: ReadyCheck): Promise<void> {
    let running = this.running.get(check.name);
    if (running === undefined) {
      running = Promise.resolve()
        .then(check.check)
        .finally(() => this.running.delete(check.name));
      this.running.set(check.name, running);
      // Who waits for it may have given up by then.
      running.catch(() => undefined);
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new NotReady(`no answer within ${CHECK_MS} ms`));
      }, CHECK_MS);
    });
    await Promise.race([running, late]).finally(() => {
      clearTimeout(timer);
    });
  }
}
