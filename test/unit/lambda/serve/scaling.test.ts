import * as fc from 'fast-check';
import type { ScaleInput } from '../../../../src/lambda/serve/scaling';
import { instancesToRetire, instancesToStart, MIN_WAIT_MS, smooth } from '../../../../src/lambda/serve/scaling';

const BASE: ScaleInput = {
  queued: 0,
  busy: 0,
  idle: 0,
  starting: 0,
  serviceMs: 100,
  coldMs: 5,
  oldestWaitMs: 0,
  maxInstances: 0,
  reuse: true,
};
const start = (input: Partial<ScaleInput>): number => instancesToStart({ ...BASE, ...input });

describe('instancesToStart', () => {
  test('starts an instance for the first request', () => {
    expect(start({ queued: 1 })).toBe(1);
    expect(start({ queued: 1, serviceMs: 0.1 })).toBe(1);
  });

  test('starts none for requests that an idle or starting instance will take', () => {
    expect(start({ queued: 2, idle: 1, starting: 1 })).toBe(0);
  });

  test('starts all instances for a burst of slow requests at once', () => {
    expect(start({ queued: 100, busy: 1 })).toBe(100);
  });

  test('shares instances in a burst of fast requests: one for every 10 ms of queued work', () => {
    expect(start({ queued: 64, busy: 1, serviceMs: 1 })).toBe(6);
    expect(start({ queued: 5, busy: 1, serviceMs: 1 })).toBe(0);
  });

  test('with concurrency starts as many instances as the requests would fill', () => {
    expect(start({ queued: 40, concurrency: 50 })).toBe(1);
    expect(start({ queued: 120, concurrency: 50, serviceMs: undefined })).toBe(3);
    expect(start({ queued: 50, concurrency: 50, starting: 1 })).toBe(0);
    expect(start({ queued: 1, concurrency: 50, busy: 3, coldMs: 300 })).toBe(0);
  });

  test('ignores an instance without further requests, except for the upper bound', () => {
    const one = { queued: 1, concurrency: 50, coldMs: 300 };
    expect([start({ ...one, busy: 1 }), start({ ...one, retired: 1 })]).toEqual([0, 1]);
    expect([start({ ...one, retired: 1, maxInstances: 1 }), start({ ...one, retired: 1, maxInstances: 2 })]).toEqual([
      0, 1,
    ]);
  });

  test('starts no instance when a cold start takes longer than the wait', () => {
    expect(start({ queued: 4, busy: 4, serviceMs: 100, coldMs: 200 })).toBe(0);
    expect(start({ queued: 40, busy: 4, serviceMs: 100, coldMs: 200 })).toBe(16);
  });

  test('starts an instance for each request before there are measurements', () => {
    expect(start({ queued: 7, serviceMs: undefined })).toBe(7);
  });

  test('ignores outdated averages', () => {
    expect(start({ queued: 1, busy: 4, serviceMs: 0.1, oldestWaitMs: 29 })).toBe(0);
    expect(start({ queued: 9, busy: 4, serviceMs: 0.1, oldestWaitMs: 31 })).toBe(2);
    expect(start({ queued: 1, busy: 4, serviceMs: 0.1, oldestWaitMs: 31 })).toBe(1);
  });

  test('without reuse starts one instance for each request', () => {
    expect(start({ queued: 5, busy: 3, starting: 2, serviceMs: 0.1, reuse: false })).toBe(3);
  });

  test('starts at most the waiting requests and max_instances, and at least one for progress', () => {
    const count = fc.nat(50);
    const arbitrary = fc.record({
      queued: count,
      busy: count,
      idle: count,
      starting: count,
      serviceMs: fc.option(fc.double({ min: 0, max: 1e4, noNaN: true }), { nil: undefined }),
      coldMs: fc.double({ min: 0.1, max: 1e3, noNaN: true }),
      oldestWaitMs: fc.double({ min: 0, max: 1e5, noNaN: true }),
      maxInstances: fc.nat(60),
      reuse: fc.boolean(),
    });
    fc.assert(
      fc.property(arbitrary, (input) => {
        const n = instancesToStart(input);
        const have = input.busy + input.idle + input.starting;
        expect(Number.isInteger(n) && n >= 0).toBe(true);
        expect(n).toBeLessThanOrEqual(Math.max(0, input.queued - input.idle - input.starting));
        if (input.maxInstances > 0) expect(n).toBeLessThanOrEqual(Math.max(0, input.maxInstances - have));
        if (input.queued > 0 && have === 0) expect(n).toBeGreaterThan(0);
      }),
    );
  });

  test("has the original's constant", () => {
    expect(MIN_WAIT_MS).toBe(10);
  });
});

describe('instancesToRetire', () => {
  test('keeps recently used instances, and one for the next request', () => {
    expect(instancesToRetire([50, 20, 5], 0, 10)).toBe(2);
    expect(instancesToRetire([50, 20], 0, 10)).toBe(1);
    expect(instancesToRetire([50, 20], 1, 10)).toBe(2);
    expect(instancesToRetire([], 0, 10)).toBe(0);
    expect(instancesToRetire([1, 2], 0, 10)).toBe(0);
  });
});

test('smooth starts at the first value and follows the later ones', () => {
  expect(smooth(undefined, 80)).toBe(80);
  expect(smooth(80, 0)).toBe(70);
});
