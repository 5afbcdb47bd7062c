/**
 * Remembers failed installs, so that not every call of a function waits for the same failure again. POLICY: the
 * back-off is 2 s after the first failure and doubles up to 1 min. An upload retries at once.
 */
import { ArgyleError } from '../../errors';

const FIRST_MS = 2_000;
const MOST_MS = 60_000;
/** Maximum number of remembered failures. The oldest is dropped first. */
const MOST_KEYS = 1_000;

interface Failure {
  error: ArgyleError;
  untilMs: number;
  waitMs: number;
}

export class FailureMemory {
  private readonly failures = new Map<string, Failure>();

  /** @param now a monotonic clock, ms */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** @throws ArgyleError the last failure of `key` during its back-off, with the remaining time */
  check(key: string): void {
    const failure = this.failures.get(key);
    if (failure === undefined) return;
    const leftMs = failure.untilMs - this.now();
    if (leftMs <= 0) return;
    const { code, message, field, value } = failure.error;
    const text = `${message}\nnext try in ${Math.ceil(leftMs / 1000)} s`;
    throw new ArgyleError(code, text, {
      cause: failure.error,
      ...(field === undefined ? {} : { field }),
      ...(value === undefined ? {} : { value }),
    });
  }

  failed(key: string, error: ArgyleError): void {
    const before = this.failures.get(key);
    const waitMs = before === undefined ? FIRST_MS : Math.min(before.waitMs * 2, MOST_MS);
    this.failures.delete(key);
    this.failures.set(key, { error, waitMs, untilMs: this.now() + waitMs });
    const [oldest] = this.failures.keys();
    if (this.failures.size > MOST_KEYS && oldest !== undefined) this.failures.delete(oldest);
  }

  succeeded(key: string): void {
    this.failures.delete(key);
  }

  /** Lets the next check of these keys pass, since a user has asked again. */
  forgive(keys: Iterable<string>): void {
    for (const key of keys) {
      const failure = this.failures.get(key);
      if (failure !== undefined) failure.untilMs = 0;
    }
  }
}
