import fc from 'fast-check';
import { setId } from '../../../../src/zygote/policy/candidates';
import { diff } from '../../../../src/zygote/policy/diff';
import { DEFAULT_PARAMS } from '../../../../src/zygote/policy/params';
import { desiredTree, type PolicyInput } from '../../../../src/zygote/policy/popularity';
import { makeTrace, DEFAULT_TRACE } from '../../../../src/zygote/simulate/trace';
import type { Demand, DesiredTree, LiveZygote, PinKey } from '../../../../src/zygote/policy/types';
import { syntheticPackages } from '../../../support/zygote/synthetic';

const COSTS: Record<PinKey, { ms: number; mb: number }> = {
  'numpy==2': { ms: 50, mb: 4 },
  'pandas==2': { ms: 230, mb: 9 },
  'requests==2': { ms: 20, mb: 2 },
  'six==1': { ms: 0.1, mb: 0 },
};

function decide(demands: Demand[], overrides: Partial<PolicyInput> = {}): DesiredTree {
  return desiredTree({
    demands,
    costOf: (key) => COSTS[key] ?? { ms: 5, mb: 0.5 },
    requiresOf: (key) => (key === 'pandas==2' ? ['numpy'] : []),
    budgetMb: 100,
    live: [],
    excluded: () => false,
    params: DEFAULT_PARAMS,
    ...overrides,
  });
}

const asLive = (tree: DesiredTree): LiveZygote[] => tree.zygotes.map((zygote) => ({ ...zygote, state: 'ready' }));
const ids = (tree: DesiredTree): string[] => tree.zygotes.map(({ id }) => id);

describe('desiredTree', () => {
  it('is only the root without demands, and empty when the root exceeds the budget', () => {
    expect(ids(decide([]))).toEqual(['']);
    expect(decide([], { budgetMb: DEFAULT_PARAMS.rootMb - 1 }).zygotes).toEqual([]);
  });

  it('contains a zygote for a frequent and expensive set', () => {
    const tree = decide([{ pins: ['numpy==2', 'pandas==2', 'six==1'], ratePerSec: 1 }]);
    const best = tree.zygotes.find(({ pins }) => pins.includes('pandas==2'));
    expect(best?.pins).toContain('numpy==2');
    expect(best?.forksPerSec).toBeCloseTo(1);
    expect(tree.savedMsPerSec).toBeGreaterThan(280);
  });

  it('makes the common part of two demands the parent of both', () => {
    const tree = decide([
      { pins: ['a==1', 'numpy==2', 'pandas==2'], ratePerSec: 1 },
      { pins: ['b==1', 'numpy==2', 'pandas==2'], ratePerSec: 1 },
    ]);
    const shared = setId(['numpy==2', 'pandas==2']);
    expect(ids(tree)).toContain(shared);
    for (const zygote of tree.zygotes) {
      if (zygote.pins.some((key) => key === 'a==1' || key === 'b==1')) expect(zygote.parent).toBe(shared);
    }
  });

  it('contains no zygote that would not pay back within a year', () => {
    const demands = [{ pins: ['pandas==2', 'numpy==2'].sort(), ratePerSec: 1e-9 }];
    expect(ids(decide(demands))).toEqual(['']);
  });

  it('excludes packages and all packages that need them', () => {
    const demands = [{ pins: ['numpy==2', 'pandas==2', 'requests==2'], ratePerSec: 1 }];
    const tree = decide(demands, { excluded: (key) => key === 'numpy==2' });
    const held = new Set(tree.zygotes.flatMap(({ pins }) => pins));
    expect([...held]).toEqual(['requests==2']);
  });

  it('retires a live zygote with an excluded package', () => {
    const demands = [{ pins: ['requests==2'], ratePerSec: 1 }];
    const live = asLive(decide(demands));
    const tree = decide(demands, { live, excluded: (key) => key === 'requests==2' });
    expect(diff(live, tree)).toContainEqual({ kind: 'retire', id: 'requests==2' });
  });

  it('values a zygote by at most the measured time of handlers', () => {
    const pins = ['numpy==2', 'pandas==2'];
    const lazy = decide([{ pins, ratePerSec: 0.001, importMs: 0.1 }], { budgetMb: 40 });
    expect(ids(lazy)).toEqual(['']);
    expect(ids(decide([{ pins, ratePerSec: 0.001 }], { budgetMb: 40 }))).toContain(setId(pins));
  });

  it('leaves memory to instances where they save more', () => {
    const demands = [
      { pins: ['numpy==2', 'pandas==2'], ratePerSec: 1 },
      { pins: ['requests==2'], ratePerSec: 0.01 },
    ];
    const tree = decide(demands, { params: { ...DEFAULT_PARAMS, priceMsPerSecPerMb: 1 } });
    expect(ids(tree)).toContain('numpy==2,pandas==2');
    expect(ids(tree)).not.toContain('requests==2');
  });

  it('replicates a zygote that would only fork', () => {
    const busy = decide([{ pins: ['requests==2'], ratePerSec: 1500 }], { budgetMb: 500 });
    expect(busy.zygotes.find(({ id }) => id === 'requests==2')?.replicas).toBeGreaterThan(1);
    const calm = decide([{ pins: ['requests==2'], ratePerSec: 10 }], { budgetMb: 500 });
    expect(calm.zygotes.every(({ replicas }) => replicas === 1)).toBe(true);
  });

  it('has spares where forks are, and more for bursts', () => {
    const sparesAt = (ratePerSec: number): number =>
      decide([{ pins: ['requests==2'], ratePerSec }], { budgetMb: 60 }).zygotes.find(({ id }) => id === 'requests==2')
        ?.spares ?? 0;
    expect(sparesAt(50)).toBeGreaterThanOrEqual(1);
    expect(decide([{ pins: ['requests==2'], ratePerSec: 50 }], { budgetMb: 16 }).zygotes).not.toHaveLength(0);
  });

  it('keeps a live zygote unless another one is clearly better', () => {
    const demand = (a: number, b: number): Demand[] => [
      { pins: ['a==1'], ratePerSec: a },
      { pins: ['b==1'], ratePerSec: b },
    ];
    // Memory for the root and one more zygote.
    const budgetMb = DEFAULT_PARAMS.rootMb + 4;
    const first = decide(demand(1, 0.9), { budgetMb });
    expect(ids(first)).toEqual(['', 'a==1']);
    expect(ids(decide(demand(1, 1.1), { budgetMb, live: asLive(first) }))).toEqual(['', 'a==1']);
    expect(ids(decide(demand(1, 1.6), { budgetMb, live: asLive(first) }))).toEqual(['', 'b==1']);
  });

  it("includes a live zygote's ancestors, which live as long as it does", () => {
    const live: LiveZygote[] = [
      { id: '', parent: undefined, pins: [], replicas: 1, spares: 0, state: 'ready' },
      { id: 'six==1', parent: '', pins: ['six==1'], replicas: 1, spares: 0, state: 'ready' },
      {
        id: 'requests==2,six==1',
        parent: 'six==1',
        pins: ['requests==2', 'six==1'],
        replicas: 1,
        spares: 0,
        state: 'ready',
      },
    ];
    const tree = decide([{ pins: ['requests==2', 'six==1'], ratePerSec: 1 }], { live });
    const kept = tree.zygotes.find(({ id }) => id === 'requests==2,six==1');
    if (kept !== undefined) expect(kept.parent).toBe('six==1');
    expect(
      diff(live, tree).filter(({ kind, id }) => kind === 'retire' && id === 'six==1' && kept !== undefined),
    ).toEqual([]);
  });
});

describe('for any demands, the tree', () => {
  const key = fc.constantFrom<PinKey[]>(
    'numpy==2',
    'numpy==1',
    'pandas==2',
    'requests==2',
    'six==1',
    'a==1',
    'b==1',
    'c==1',
  );
  const demand = fc.record({
    pins: fc.uniqueArray(key, { maxLength: 6 }).map((keys) => [...keys].sort()),
    ratePerSec: fc.double({ min: 0, max: 100, noNaN: true }),
  });
  const input = fc.record({ demands: fc.array(demand, { maxLength: 12 }), budgetMb: fc.integer({ min: 0, max: 120 }) });

  it('fits the budget, nests properly, and settles: a second look has no action', () => {
    fc.assert(
      fc.property(input, ({ demands, budgetMb }) => {
        const tree = decide(demands, { budgetMb });
        expect(tree.mb).toBeLessThanOrEqual(budgetMb + 1e-6);
        const byId = new Map(tree.zygotes.map((zygote) => [zygote.id, zygote]));
        const seen = new Set<string>();
        for (const zygote of tree.zygotes) {
          if (zygote.parent === undefined) expect(zygote.id).toBe('');
          else {
            expect(seen).toContain(zygote.parent);
            for (const pin of byId.get(zygote.parent)?.pins ?? []) expect(zygote.pins).toContain(pin);
          }
          // Each served function requires every imported package.
          if (zygote.forksPerSec > 0 && zygote.id !== '') {
            expect(demands.some(({ pins }) => zygote.pins.every((pin) => pins.includes(pin)))).toBe(true);
          }
          seen.add(zygote.id);
        }
        const live = asLive(tree);
        expect(
          diff(live, decide(demands, { budgetMb, live })).filter(({ kind }) => kind === 'create' || kind === 'retire'),
        ).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('decides about thousands of observed sets within its limits', () => {
    const data = syntheticPackages();
    const trace = makeTrace(data, { ...DEFAULT_TRACE, functions: 4000, invocations: 1 });
    const demands = trace.functions.map(({ pins }, index) => ({ pins, ratePerSec: 1 / (index + 1) }));
    const startMs = performance.now();
    const tree = decide(demands, { costOf: data.costOf, requiresOf: data.requiresOf, budgetMb: 1000 });
    // This takes about 150 ms on an idle machine. The bound allows for other tests.
    expect(performance.now() - startMs).toBeLessThan(3000);
    expect(tree.zygotes.length).toBeLessThanOrEqual(DEFAULT_PARAMS.maxZygotes);
  });
});
