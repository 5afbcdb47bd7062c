/** Computes the dashboard's numbers per function from metric readings. Pure. */
import { DURATION_BUCKETS, type FunctionReading } from '../../metrics/calls';
import { quantile, type Buckets } from '../../metrics/quantile';

export interface FunctionRow {
  lambda: string;
  calls: number;
  failed: number;
  /** First calls of instances, by the cause of the instance's start. */
  cold: Record<string, number>;
  /** Quantiles of HTTP requests, ms; null without requests. */
  p50Ms: number | null;
  p99Ms: number | null;
}

/** Metrics at one moment. */
export interface Reading {
  /** Time of a monotonic clock, ms. */
  atMs: number;
  functions: readonly FunctionReading[];
}

function bucketsOf(counts: readonly number[]): Buckets {
  let total = 0;
  return counts.map((count, i) => [DURATION_BUCKETS[i] ?? Infinity, (total += count)]);
}

/** Converts to ms with three decimals. NaN becomes null, as in JSON. */
function inMs(seconds: number): number | null {
  return Number.isNaN(seconds) ? null : Math.round(seconds * 1e6) / 1e3;
}

/**
 * Sorts busier functions first. POLICY: call counts are rounded up to powers of two, and equal counts are sorted by
 * name, so that rows rarely change places.
 */
function order(a: FunctionRow, b: FunctionRow): number {
  const [more, less] = [a, b].map(({ calls }) => Math.ceil(Math.log2(calls + 1))) as [number, number];
  return less - more || (a.lambda < b.lambda ? -1 : 1);
}

/** Rows for the calls between two readings. Without `before`, rows for all calls since the worker's start. */
export function functionRows(before: Reading | undefined, after: Reading): FunctionRow[] {
  const earlier = new Map(before?.functions.map((of) => [of.lambda, of]));
  const rows = after.functions.map(({ lambda, calls, failed, cold, durations }): FunctionRow => {
    const old = earlier.get(lambda);
    const buckets = bucketsOf(durations.map((count, i) => count - (old?.durations[i] ?? 0)));
    const causes = Object.entries(cold).map(([cause, count]) => [cause, count - (old?.cold[cause] ?? 0)] as const);
    return {
      lambda,
      calls: calls - (old?.calls ?? 0),
      failed: failed - (old?.failed ?? 0),
      cold: Object.fromEntries(causes.filter(([, count]) => count > 0)),
      p50Ms: inMs(quantile(0.5, buckets)),
      p99Ms: inMs(quantile(0.99, buckets)),
    };
  });
  return rows.sort(order);
}

/** Calls per second between two readings: the total, and the non-zero rates by function. */
export function ratesOf(before: Reading, after: Reading): { total: number; of: Record<string, number> } {
  const seconds = (after.atMs - before.atMs) / 1000;
  if (seconds <= 0) return { total: 0, of: {} };
  const earlier = new Map(before.functions.map(({ lambda, calls }) => [lambda, calls]));
  const rates = after.functions.map(({ lambda, calls }) => {
    return [lambda, Math.round(((calls - (earlier.get(lambda) ?? 0)) / seconds) * 100) / 100] as const;
  });
  const total = rates.reduce((sum, [, rate]) => sum + rate, 0);
  return { total: Math.round(total * 100) / 100, of: Object.fromEntries(rates.filter(([, rate]) => rate > 0)) };
}

/** Keeps the readings of the last minute, one per second. Nothing is read while there are no watchers. */
export class LastMinute {
  private readings: Reading[] = [];

  /** Adds the newest reading and drops readings older than `spanMs`. */
  add(reading: Reading, spanMs = 60_000): void {
    this.readings = this.readings.filter(({ atMs }) => reading.atMs - atMs <= spanMs);
    this.readings.push(reading);
  }

  /** Returns the oldest reading that is at most `spanMs` older than the newest one. It may be the newest one. */
  before(spanMs: number): Reading | undefined {
    const last = this.readings.at(-1);
    return this.readings.find(({ atMs }) => (last?.atMs ?? 0) - atMs <= spanMs);
  }
}
