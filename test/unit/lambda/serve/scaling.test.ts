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
  test('the first request gets an instance', () => {
    expect(start({ queued: 1 })).toBe(1);
    expect(start({ queued: 1, serviceMs: 0.1 })).toBe(1);
  });

  test('requests that an idle or starting instance will take need no other', () => {
    expect(start({ queued: 2, idle: 1, starting: 1 })).toBe(0);
  });

  test('a burst of slow requests gets all its instances at once', () => {
    expect(start({ queued: 100, busy: 1 })).toBe(100);
  });

  test('a burst of fast requests shares instances: one for every 10 ms of queued work', () => {
    expect(start({ queued: 64, busy: 1, serviceMs: 1 })).toBe(6);
    expect(start({ queued: 5, busy: 1, serviceMs: 1 })).toBe(0);
  });

  test('where each serves several, an instance is started for each that they would fill', () => {
    expect(start({ queued: 40, concurrency: 50 })).toBe(1);
    expect(start({ queued: 120, concurrency: 50, serviceMs: undefined })).toBe(3);
    expect(start({ queued: 50, concurrency: 50, starting: 1 })).toBe(0);
    expect(start({ queued: 1, concurrency: 50, busy: 3, coldMs: 300 })).toBe(0);
  });

  test('one that gets no further requests is none, but counts for the bound', () => {
    const one = { queued: 1, concurrency: 50, coldMs: 300 };
    expect([start({ ...one, busy: 1 }), start({ ...one, retired: 1 })]).toEqual([0, 1]);
    expect([start({ ...one, retired: 1, maxInstances: 1 }), start({ ...one, retired: 1, maxInstances: 2 })]).toEqual([
      0, 1,
    ]);
  });

  test('a cold start that takes longer than the wait is not worth it', () => {
    expect(start({ queued: 4, busy: 4, serviceMs: 100, coldMs: 200 })).toBe(0);
    expect(start({ queued: 40, busy: 4, serviceMs: 100, coldMs: 200 })).toBe(16);
  });

  test('before anything is known, each request gets an instance', () => {
    expect(start({ queued: 7, serviceMs: undefined })).toBe(7);
  });

  test('averages that are out of date do not hold the queue up', () => {
    expect(start({ queued: 1, busy: 4, serviceMs: 0.1, oldestWaitMs: 29 })).toBe(0);
    expect(start({ queued: 9, busy: 4, serviceMs: 0.1, oldestWaitMs: 31 })).toBe(2);
    expect(start({ queued: 1, busy: 4, serviceMs: 0.1, oldestWaitMs: 31 })).toBe(1);
  });

  test('without reuse each request needs one of its own', () => {
    expect(start({ queued: 5, busy: 3, starting: 2, serviceMs: 0.1, reuse: false })).toBe(3);
  });

  test('never more than waiting requests or max_instances, never less than progress needs', () => {
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

  test('the constant is that of the original', () => {
    expect(MIN_WAIT_MS).toBe(10);
  });
});

describe('instancesToRetire', () => {
  test('keeps those that were needed lately, and one for the next request', () => {
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
