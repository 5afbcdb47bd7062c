import fc from 'fast-check';
import { MIN_IDLE_MS, selectEvictions } from '../../../../src/packages/store/eviction';

const NOW_MS = 10 * MIN_IDLE_MS;
const stored = (spec: string, bytes: number, idleMs: number) => ({ spec, bytes, lastUsedMs: NOW_MS - idleMs });

describe('the packages to delete', () => {
  const packages = [stored('old', 40, 5e5), stored('older', 30, 5.5e5), stored('new', 50, 2e5)];

  test('are none below the limit, and none without a limit', () => {
    expect(selectEvictions(packages, 120, new Set(), NOW_MS)).toEqual([]);
    expect(selectEvictions(packages, 0, new Set(), NOW_MS)).toEqual([]);
  });

  test('are the least recently used ones, and no more than needed', () => {
    expect(selectEvictions(packages, 119, new Set(), NOW_MS)).toEqual(['older']);
    expect(selectEvictions(packages, 60, new Set(), NOW_MS)).toEqual(['older', 'old']);
  });

  test('never include packages that are in use or were just requested', () => {
    expect(selectEvictions(packages, 1, new Set(['older']), NOW_MS)).toEqual(['old', 'new']);
    expect(selectEvictions([stored('fresh', 10, MIN_IDLE_MS - 1)], 1, new Set(), NOW_MS)).toEqual([]);
  });

  test('are enough for the limit, or all that may be deleted', () => {
    const item = fc.record({ bytes: fc.nat(1000), idleMs: fc.nat(NOW_MS), used: fc.boolean() });
    fc.assert(
      fc.property(fc.array(item), fc.integer({ min: 1, max: 5000 }), (items, maxBytes) => {
        const all = items.map(({ bytes, idleMs }, index) => stored(`p${index}`, bytes, idleMs));
        const inUse = new Set(all.filter((_, index) => items[index]?.used).map(({ spec }) => spec));
        const gone = new Set(selectEvictions(all, maxBytes, inUse, NOW_MS));
        const stay = all.filter(({ spec }) => !gone.has(spec));
        expect([...gone].some((spec) => inUse.has(spec))).toBe(false);
        const fits = stay.reduce((sum, { bytes }) => sum + bytes, 0) <= maxBytes;
        const movable = stay.some(({ spec, lastUsedMs }) => !inUse.has(spec) && NOW_MS - lastUsedMs >= MIN_IDLE_MS);
        expect(fits || !movable).toBe(true);
      }),
    );
  });
});
