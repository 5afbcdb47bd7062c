/** Readiness of the worker, from a list of named checks. `/readyz` serves the result without a token. */
import { ArgyleError, ERRORS, errnoOf } from '../errors';
import type { EventLog } from './ports';

/** Lifetime of a cached report, ms. Probes of several load balancers cost one round of checks per second. */
const CACHE_MS = 1000;
/** Time limit of a check, ms. A check that exceeds it fails, and is not started again before it ends. */
const CHECK_MS = 1000;

/** The reason why a check failed, in words that are safe to publish. */
export class NotReady extends Error {}

export interface ReadyCheck {
  name: string;
  /** Throws or rejects when the worker is not ready. NotReady's message is published unchanged. */
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

/** Describes a failure without paths, addresses and settings of this worker; the log has those. Pure. */
export function whyOf(thrown: unknown): string {
  if (thrown instanceof NotReady) return thrown.message;
  const errno = errnoOf(thrown);
  if (errno !== undefined) return `${errno.syscall ?? 'a call'} failed with ${errno.code ?? 'an error'}`;
  return thrown instanceof ArgyleError ? `${thrown.code}: ${ERRORS[thrown.code].about}` : 'the check failed';
}

export class Readiness {
  private readonly running = new Map<string, Promise<unknown>>();
  /** Names of the checks that failed in the last round. */
  private readonly failing = new Set<string>();
  private cached: { report: Promise<ReadyReport>; untilMs: number } | undefined;
  private stopping = false;

  /** @param now a monotonic clock, ms */
  constructor(
    private readonly checks: readonly ReadyCheck[],
    private readonly log: Pick<EventLog, 'info' | 'warn'>,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Makes the worker not ready from now on, whatever the checks' results. */
  stop(): void {
    this.stopping = true;
  }

  /** Runs every check, or returns the report of the last second. Never rejects. */
  async report(): Promise<ReadyReport> {
    if (this.stopping) return { ready: false, checks: { worker: { ok: false, why: 'the worker is draining' } } };
    if (this.cached === undefined || this.now() >= this.cached.untilMs) {
      const report = this.runAll();
      // Callers share a running round and its result.
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
      // The caller may have stopped waiting, so a late rejection must be handled here.
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
