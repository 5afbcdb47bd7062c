import fc from 'fast-check';
import { phasesOf, tiersMb, startOf, type LiveCall } from '../../../bench/cache/life';
import { traceOf, withoutProbes } from '../../../bench/cache/functions';
import { latencySpec, totalsSpec } from '../../../bench/cache/plots';
import { fitCosts, learntData, measuredModel, replay } from '../../../bench/cache/replay';
import { reportOf, rowsOf, type CacheRow } from '../../../bench/cache/report';
import { commonestSets, sampleSource } from '../../../bench/cache/source';
import { renderSvg } from '../../../bench/plot';
import { DEFAULT_TRACE } from '../../../src/zygote/simulate/trace';
import { syntheticPackages } from '../../support/zygote/synthetic';

const call = (ms: number, start: LiveCall['start'], status = 200, importMs = 0): LiveCall => {
  return { fn: 0, ms, start, importMs, status, phases: {} };
};

describe('the readings of a live worker', () => {
  it('contain how a call was served', () => {
    const timing = 'queue;dur=0.2, start;desc=fork-packages;dur=4.4, import;dur=0.9, handler;dur=2, total;dur=11';
    expect(startOf(timing)).toBe('fork');
    expect(phasesOf(timing)).toEqual({ queue: 0.2, start: 4.4, import: 0.9, handler: 2, total: 11 });
    expect(startOf('queue;dur=0.1, start;desc=unpause;dur=0.4, handler;dur=2, total;dur=3')).toBe('warm');
    expect(startOf('')).toBe('warm');
  });

  it('contain memory by tier', () => {
    const metrics =
      '# TYPE\nargyle_memory_tier_bytes{tier="paused"} 2097152\nargyle_memory_tier_bytes{tier="spare"} 0\n';
    expect(tiersMb(metrics)).toEqual({ paused: 2, spare: 0 });
  });

  it('exclude probes from the fitted trace', () => {
    const probe = '{"type":"invocation","id":"1","name":"probe3"}';
    const other = [
      '{"type":"function","id":"1","name":"probe3","deps":[]}',
      '{"type":"invocation","id":"2","name":"f0"}',
    ];
    expect(withoutProbes([probe, ...other].join('\n'))).toBe(other.join('\n'));
  });
});

describe('the sets of the functions', () => {
  const counted = [
    { of: 'a==1', pins: ['a==1', 'b==1'], count: 3 },
    { of: 'a==2', pins: ['a==2', 'b==1'], count: 5 },
    { of: 'b==1', pins: ['b==1'], count: 20 },
    { of: 'c==1', pins: ['c==1'], count: 1 },
  ];

  it('are the most frequent sets of the packages with the highest cost, over all versions', () => {
    const costs = new Map([
      ['a==1', { ms: 100, mb: 1 }],
      ['b==1', { ms: 1, mb: 1 }],
      ['c==1', { ms: 500, mb: 1 }],
    ]);
    const chosen = commonestSets(counted, costs, 2);
    expect(chosen).toEqual([
      { of: 'a==2', pins: ['a==2', 'b==1'], count: 8 },
      { of: 'c==1', pins: ['c==1'], count: 1 },
    ]);
  });

  it('of the samples give one trace for one seed', () => {
    const { data } = sampleSource('http://127.0.0.1:1');
    const options = { ...DEFAULT_TRACE, functions: 5, invocations: 20, drift: 0.5 };
    expect(traceOf(data, options)).toEqual(traceOf(data, options));
    expect(new Set(traceOf(data, options).invocations.map(({ execMs }) => execMs))).toEqual(new Set([1]));
  });
});

describe('the replay', () => {
  it('uses the measured costs', () => {
    const model = measuredModel([call(30, 'fresh', 200, 10), call(9, 'fork', 200, 4), call(500, 'fork', 500)], 100);
    expect(model).toMatchObject({ memoryMb: 100, freshMs: 20, forkMs: 5, forkMsPerMb: 0 });
    expect(measuredModel([], 100).freshMs).toBeGreaterThan(0);
  });

  it('uses the costs that the worker learnt, and estimates for the others', () => {
    const known = syntheticPackages();
    const seed = { costs: { 'x==1': { ms: 7, mb: 2, measured: true } }, requires: { 'x==1': ['y'] } };
    const data = learntData(known, seed);
    expect(data.costOf('x==1')).toMatchObject({ ms: 7, mb: 2 });
    expect(data.costOf('top0==1.0')).toEqual(known.costOf('top0==1.0'));
    expect(data.requiresOf('x==1')).toEqual(['y']);
  });

  it('fits the costs of packages to the measured imports, in their learnt proportions', () => {
    const costs: Record<string, number> = { 'a==1': 30, 'b==1': 10, 'c==1': 5 };
    const data = { ...syntheticPackages(), costOf: (key: string) => ({ ms: costs[key] ?? 0, mb: 1 }) };
    const functions = [['a==1', 'b==1'], ['b==1'], ['c==1']].map((pins, n) => ({ name: `f${n}`, pins, execMs: 1 }));
    const calls = [400, 100, 0].map((importMs, fn) => ({ ...call(500, 'fresh', 200, importMs), fn }));
    const fitted = fitCosts({ functions }, data, [...calls, { ...call(9, 'fork', 200, 9), fn: 2 }]);
    expect(fitted.costOf('a==1').ms).toBeCloseTo(300, 0);
    expect(fitted.costOf('b==1').ms).toBeCloseTo(100, 0);
    // A package without a measurement keeps its learnt cost.
    expect(fitted.costOf('c==1')).toEqual({ ms: 5, mb: 1 });
  });

  it('simulates the modes over the same calls', () => {
    const data = syntheticPackages();
    const trace = traceOf(data, { ...DEFAULT_TRACE, functions: 40, invocations: 400 });
    const results = replay({
      trace,
      data,
      model: measuredModel([], 200),
      warmup: 0.1,
      treeShare: 0.5,
      popularityShare: 0.5,
    });
    expect([...results.keys()]).toEqual(['none', 'tree', 'popularity', 'lru']);
    const total = (mode: string): number => results.get(mode)?.totalColdMs ?? NaN;
    expect(total('popularity')).toBeLessThan(total('none'));
    expect([...results.values()].map(({ invocations }) => invocations)).toEqual([360, 360, 360, 360]);
  });
});

describe('the report', () => {
  const lives = new Map([
    ['tree', { calls: [call(9999, 'fresh'), call(100, 'fork'), call(100, 'fork')], memoryMb: { zygote: 3 } }],
    [
      'popularity',
      { calls: [call(9999, 'fresh'), call(10, 'spare'), call(10, 'warm'), call(1, 'warm', 500)], memoryMb: {} },
    ],
  ]);
  const simulated = { totalColdMs: 100, coldStarts: 2, zygoteMb: 1 };
  const rows = rowsOf({ lives, simulated: new Map([['tree', simulated]]) as never }, 1);

  it('excludes the warm-up, and excludes failures from the times', () => {
    expect(rows.map(({ live }) => live)).toMatchObject([
      { calls: 2, failed: 0, meanMs: 100, p99Ms: 100, cold: 2, coldTotalMs: 200 },
      { calls: 3, failed: 1, meanMs: 10, cold: 1, coldTotalMs: 10 },
    ]);
  });

  it('judges goals', () => {
    const text = reportOf(rows);
    expect(text).toContain('| mean: tree against popularity | ≥ 5 | 10.00 | met |');
    expect(text).toContain('| tree: simulated total against live | 0.7 to 1.3 | 0.50 | missed |');
    expect(reportOf([])).toContain('| p99: tree against popularity | ≥ 2 |  | not measured |');
  });

  it('states for any ratio of totals whether it is within 30 %', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.01, max: 10, noNaN: true }), (ratio) => {
        const live = { calls: 1, failed: 0, meanMs: 1, p50Ms: 1, p99Ms: 1, cold: 1, coldTotalMs: 1000, memoryMb: {} };
        const one: CacheRow = { mode: 'm', live, simulated: { totalMs: 1000 * ratio, coldStarts: 1, zygoteMb: 0 } };
        const verdict = ratio >= 0.7 && ratio <= 1.3 ? '| met |' : '| missed |';
        expect(reportOf([one]).includes(`${ratio.toFixed(2)} ${verdict}`)).toBe(true);
      }),
    );
  });

  it('is plotted', async () => {
    expect(await renderSvg(latencySpec(lives, 1))).toContain('popularity');
    expect(await renderSvg(totalsSpec(rows))).toContain('simulated');
  });
});
