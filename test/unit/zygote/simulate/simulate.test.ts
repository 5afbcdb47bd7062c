import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { compare } from '../../../../src/zygote/simulate/compare';
import { simulate, type SimResult } from '../../../../src/zygote/simulate/engine';
import { costModel } from '../../../../src/zygote/simulate/model';
import { lru, none, popularity, rootOnly, staticTree } from '../../../../src/zygote/simulate/policies';
import { loadReqbench, type PackageData } from '../../../../src/zygote/simulate/reqbench';
import { DEFAULT_TRACE, makeTrace, type TraceOptions } from '../../../../src/zygote/simulate/trace';
import { syntheticPackages } from '../../../support/zygote/synthetic';

const REQBENCH = process.env['ARGYLE_REQBENCH'] ?? join(__dirname, '../../../../../shared/reqbench');

/** Without ReqBench's data, the synthetic index is used, so that the claim is tested on every machine. */
const SOURCES: [name: string, load: () => Promise<PackageData>][] = [
  ['a made-up package index', () => Promise.resolve(syntheticPackages())],
  ...(existsSync(REQBENCH) ? [['ReqBench', () => loadReqbench(REQBENCH)] as [string, () => Promise<PackageData>]] : []),
];

type Scenario = Pick<TraceOptions, 'seed' | 'functions' | 'zipf' | 'drift'> & { memoryMb: number };

const SCENARIOS: Scenario[] = [
  { seed: 1, functions: 300, zipf: 1, drift: 0, memoryMb: 256 },
  { seed: 1, functions: 300, zipf: 1, drift: 1, memoryMb: 512 },
  { seed: 2, functions: 1000, zipf: 0.7, drift: 0, memoryMb: 512 },
  { seed: 2, functions: 1000, zipf: 0.7, drift: 1, memoryMb: 256 },
  { seed: 3, functions: 500, zipf: 1.3, drift: 0, memoryMb: 256 },
  { seed: 3, functions: 500, zipf: 1.3, drift: 1, memoryMb: 512 },
  { seed: 4, functions: 500, zipf: 1, drift: 0.5, memoryMb: 1024 },
];

/**
 * Least ratio of the others' total cold-start time to popularity's. The static tree and LRU have their best share of
 * the memory in hindsight, and the static tree has the true import costs. popularity starts without knowledge.
 */
const MARGIN = { none: 4, root: 2, lru: 1.2, static: 1.02 };

describe.each(SOURCES)('on traces from %s', (_name, load) => {
  let data: PackageData;
  beforeAll(async () => {
    data = await load();
  });

  it.each(SCENARIOS)(
    'popularity has the least cold-start time: seed $seed, $functions functions, Zipf $zipf, drift $drift, $memoryMb MB',
    ({ memoryMb, ...options }) => {
      const trace = makeTrace(data, { ...DEFAULT_TRACE, ...options, invocations: 20_000 });
      const byPolicy = new Map(compare(trace, data, [memoryMb]).map((result) => [result.policy, result]));
      const totalOf = (policy: string): number => byPolicy.get(policy)?.totalColdMs ?? NaN;
      const tooClose = Object.entries(MARGIN)
        .map(([policy, least]) => ({ policy, least, ratio: totalOf(policy) / totalOf('popularity') }))
        .filter(({ ratio, least }) => !(ratio >= least));
      expect(tooClose).toEqual([]);
      for (const { peakMb } of byPolicy.values()) expect(peakMb).toBeLessThanOrEqual(memoryMb);
      // popularity must not win by making zygotes continuously.
      expect(byPolicy.get('popularity')?.buildMs).toBeLessThan(0.05 * (trace.invocations.at(-1)?.atMs ?? 0));
    },
    120_000,
  );
});

describe('the simulated worker', () => {
  const data = syntheticPackages();
  const options = { ...DEFAULT_TRACE, invocations: 3000, functions: 60 };

  it('makes the same trace and the same result from the same seed', () => {
    expect(makeTrace(data, options)).toEqual(makeTrace(data, options));
    expect(makeTrace(data, { ...options, seed: 2 })).not.toEqual(makeTrace(data, options));
    const run = (): SimResult => simulate(makeTrace(data, options), data, costModel(256), popularity(data));
    expect(run()).toEqual(run());
  });

  it("calls functions by Zipf's law, at the given rate", () => {
    const { invocations } = makeTrace(data, { ...options, invocations: 40_000, zipf: 1 });
    const counts = new Map<number, number>();
    for (const { fn } of invocations) counts.set(fn, (counts.get(fn) ?? 0) + 1);
    const sorted = [...counts.values()].sort((a, b) => b - a);
    expect((sorted[0] ?? 0) / (sorted[9] ?? 1)).toBeGreaterThan(8);
    expect((sorted[0] ?? 0) / (sorted[9] ?? 1)).toBeLessThan(12.5);
    expect((40_000 * 1000) / (invocations.at(-1)?.atMs ?? 1)).toBeCloseTo(options.ratePerSec, 0);
  });

  it('pays a fresh process and every import when there are no zygotes', () => {
    const trace = makeTrace(data, { ...options, functions: 1, invocations: 1, packagesPerFunction: 1 });
    const imports = trace.functions[0]?.pins.reduce((sum, key) => sum + data.costOf(key).ms, 0) ?? 0;
    const model = costModel(256);
    expect(simulate(trace, data, model, none(), { warmup: 0 }).totalColdMs).toBeCloseTo(model.freshMs + imports, 6);
  });

  it('has one cold start per function when memory is free and calls do not overlap', () => {
    const trace = makeTrace(data, { ...options, functions: 20, ratePerSec: 0.0001 });
    const result = simulate(trace, data, costModel(100_000), rootOnly(), { warmup: 0 });
    expect(result.coldStarts).toBe(20);
  });

  it.each([none(), rootOnly(), staticTree(data), lru(), popularity(data)])(
    'keeps $name within the memory',
    (policy) => {
      const result = simulate(makeTrace(data, options), data, costModel(160), policy);
      expect(result.peakMb).toBeLessThanOrEqual(160);
      expect(result.coldStarts).toBeLessThanOrEqual(result.invocations);
      expect(result.savedShare).toBeLessThanOrEqual(1);
    },
  );

  it('fails when the memory cannot hold a single instance', () => {
    expect(() => simulate(makeTrace(data, options), data, costModel(5), none())).toThrow(/budget of 5 MB/);
  });
});

describe('loadReqbench', () => {
  it('names the missing file', async () => {
    await expect(loadReqbench('/nonexistent')).rejects.toMatchObject({ code: 'CONFIG_INVALID', field: 'reqbench' });
  });
});
