import fc from 'fast-check';
import { popularityBudgetMb } from '../../../../src/zygote/assemble';

test('zygotes may hold most of a large pool, without the memory of running instances', () => {
  expect(popularityBudgetMb(10_000, 50, 2)).toBe(9000);
  expect(popularityBudgetMb(1000, 50, 2)).toBe(800);
  expect(popularityBudgetMb(500, 50, 2)).toBe(300);
  expect(popularityBudgetMb(300, 50, 8)).toBe(120);
  // Without a limit no memory is reserved for running instances.
  expect(popularityBudgetMb(1000, 0, 2)).toBe(900);
});

test('the budget is always less than the whole pool, and at least its smallest share', () => {
  const mb = fc.integer({ min: 1, max: 1 << 20 });
  fc.assert(
    fc.property(mb, mb, fc.integer({ min: 1, max: 256 }), (total, leaf, cpus) => {
      const budget = popularityBudgetMb(total, leaf, cpus);
      expect(budget).toBeLessThanOrEqual(total * 0.9);
      expect(budget).toBeGreaterThanOrEqual(Math.floor(total * 0.4));
    }),
  );
});
