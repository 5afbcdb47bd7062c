import { functionRows, LastMinute, ratesOf, type Reading } from '../../../../src/event/dashboard/rows';
import { DURATION_BUCKETS, type FunctionReading } from '../../../../src/metrics/calls';

/** Counts of durations. All durations are in the bucket up to `bound`. */
const durations = (bound: number, count: number): number[] =>
  [...DURATION_BUCKETS, Infinity].map((at) => (at === bound ? count : 0));
const reading = (atMs: number, ...functions: FunctionReading[]): Reading => ({ atMs, functions });
const of = (lambda: string, calls: number, more: Partial<FunctionReading> = {}): FunctionReading => ({
  ...{ lambda, calls, failed: 0, cold: {}, durations: durations(0.005, calls) },
  ...more,
});

describe('functionRows', () => {
  test('counts all calls since the start, the busiest function first', () => {
    const rows = functionRows(
      undefined,
      reading(0, of('b', 1), of('c', 4, { failed: 1, cold: { first: 1 } }), of('a', 1)),
    );
    expect(rows.map(({ lambda }) => lambda)).toEqual(['c', 'a', 'b']);
    const close = functionRows(undefined, reading(0, of('b', 15), of('a', 9), of('c', 99)));
    expect(close.map(({ lambda }) => lambda)).toEqual(['c', 'a', 'b']);
    expect(rows[0]).toMatchObject({ calls: 4, failed: 1, cold: { first: 1 }, p50Ms: 3.75 });
    expect(rows[0]?.p99Ms).toBeCloseTo(4.975);
  });

  test('counts the calls between two readings; a new function counts in full', () => {
    const before = reading(0, of('f', 10, { failed: 2, cold: { first: 1, busy: 3 } }));
    const slow = durations(0.005, 10).map((count, i) => count + (durations(1, 2)[i] ?? 0));
    const after = reading(1000, of('f', 12, { failed: 3, cold: { first: 1, busy: 5 }, durations: slow }), of('new', 1));
    const [f, other] = functionRows(before, after);
    expect(f).toMatchObject({ calls: 2, failed: 1, cold: { busy: 2 }, p50Ms: 750 });
    expect(other).toMatchObject({ lambda: 'new', calls: 1 });
  });

  test('has no quantiles without calls', () => {
    const same = reading(0, of('f', 3));
    expect(functionRows(same, same)[0]).toMatchObject({ calls: 0, cold: {}, p50Ms: null, p99Ms: null });
  });
});

test('ratesOf returns calls per second for each called function and in total', () => {
  const rates = ratesOf(reading(0, of('f', 1), of('quiet', 5)), reading(2000, of('f', 4), of('quiet', 5), of('g', 1)));
  expect(rates).toEqual({ total: 2, of: { f: 1.5, g: 0.5 } });
  expect(ratesOf(reading(5, of('f', 1)), reading(5, of('f', 1)))).toEqual({ total: 0, of: {} });
});

describe('LastMinute', () => {
  test('finds the oldest reading within a time, and drops older ones', () => {
    const minute = new LastMinute();
    for (let second = 0; second <= 100; second++) minute.add(reading(second * 1000));
    expect(minute.before(5000)?.atMs).toBe(95_000);
    expect(minute.before(60_000)?.atMs).toBe(40_000);
    expect(minute.before(1e9)?.atMs).toBe(40_000);
  });

  test('starts again after a pause', () => {
    const minute = new LastMinute();
    minute.add(reading(0));
    minute.add(reading(500_000));
    expect(minute.before(60_000)?.atMs).toBe(500_000);
    expect(new LastMinute().before(1000)).toBeUndefined();
  });
});
