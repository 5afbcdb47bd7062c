import * as fc from 'fast-check';
import { pickInstance } from '../../../../src/lambda/serve/pick-instance';

test('a low load keeps one instance busy, and a high load is spread over all', () => {
  expect(pickInstance([3], 2, 10)).toBe(0);
  expect(pickInstance([5], 2, 10)).toBe('idle');
  expect(pickInstance([5, 4], 2, 10)).toBe(1);
  expect(pickInstance([9, 7], 0, 10)).toBe(1);
  expect(pickInstance([], 1, 10)).toBe('idle');
  expect(pickInstance([], 0, 10)).toBeUndefined();
});

test('an instance with room is found, and never one with more requests than another', () => {
  const input = fc.tuple(fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 8 }), fc.nat(3));
  fc.assert(
    fc.property(input, ([active, idle]) => {
      const picked = pickInstance(active, idle, 10);
      expect(picked === undefined).toBe(active.length === 0 && idle === 0);
      if (typeof picked === 'number') expect(active[picked]).toBe(Math.min(...active));
    }),
  );
});
