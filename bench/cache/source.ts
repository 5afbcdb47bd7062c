/**
 * The requirements of the cache bench's functions: real packages by ReqBench's counts, or the mirror's sample packages.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { byName, weightiest } from '../../src/zygote/policy/counted-packages';
import { pinOf } from '../../src/zygote/policy/match';
import { UNMEASURED } from '../../src/zygote/policy/params';
import { loadCosts, loadCounts, loadReqbench } from '../../src/zygote/simulate/reqbench';
import type { CountedSet, PackageData } from '../../src/zygote/simulate/reqbench';
import type { PinKey } from '../../src/zygote/policy/types';
import type { Json } from '../subjects/live-worker';

export interface CacheSource {
  readonly label: string;
  /** The data from which sets are drawn by their counts. The costs are estimates until a worker has measured them. */
  readonly data: PackageData;
  /** Top-level modules of a package, according to its metadata. */
  readonly modulesOf: (key: PinKey) => readonly string[];
  /** Settings that a worker needs for the installs. */
  readonly settings: Json;
  /** Arguments of `ol zygote fit` for these packages. */
  readonly fitArgs: readonly string[];
}

const Packages = z.record(
  z.string(),
  z.object({ versions: z.record(z.string(), z.object({ top: z.array(z.string()) })) }),
);

/**
 * Selects the packages with the highest total import cost over all requirements files in ReqBench, and for each its
 * most frequent set. `make default-tree` makes the same selection. A set's count is the count of its package, in any
 * version and set. Pure.
 */
export function commonestSets(
  counted: readonly CountedSet[],
  costs: ReadonlyMap<PinKey, { ms: number; mb: number }>,
  most: number,
): CountedSet[] {
  const { counts, costs: byNames } = byName(counted, costs);
  const names = weightiest(counts, (name) => byNames.get(name) ?? UNMEASURED, most);
  return names.flatMap((name) => {
    const own = counted.filter(({ of }) => pinOf(of).name === name);
    const [commonest] = own.toSorted((a, b) => b.count - a.count);
    return commonest === undefined ? [] : [{ ...commonest, count: counts.get(name) ?? 0 }];
  });
}

/** @throws ArgyleError CONFIG_INVALID when a file of the directory is missing or malformed */
export async function reqbenchSource(dir: string, most: number): Promise<CacheSource> {
  const [data, counted, costs] = await Promise.all([loadReqbench(dir), loadCounts(dir), loadCosts(dir)]);
  const packages = Packages.parse(JSON.parse(await readFile(join(dir, 'packages.json'), 'utf8')));
  const modulesOf = (key: PinKey): readonly string[] => {
    const [name = '', version = ''] = key.split('==');
    return packages[name]?.versions[version]?.top ?? [];
  };
  const sets = commonestSets(counted, costs, most);
  return {
    label: 'packages of ReqBench',
    data: { ...data, sets },
    modulesOf,
    settings: {},
    fitArgs: ['--reqbench', dir],
  };
}

/** Requirement sets of the mirror's samples, with invented counts. */
const SAMPLES: readonly (readonly [count: number, pins: readonly string[]])[] = [
  [8, ['heavy==1.0.0', 'cost==1.0.0']],
  [5, ['numeric==1.0.0', 'cost==1.0.0']],
  [3, ['frame==1.0.0', 'numeric==1.0.0', 'text==1.0.0', 'tiny==1.0.0', 'cost==1.0.0']],
  [3, ['web==1.0.0', 'json==1.0.0', 'text==1.0.0', 'tiny==1.0.0']],
  [2, ['json==1.0.0']],
  [2, ['tiny==2.0.0']],
];

/** The project's own sample packages. @param url of a running mirror */
export function sampleSource(url: string): CacheSource {
  const sets = SAMPLES.map(([count, pins]) => ({ count, pins: pins.map((pin) => `argyle-sample-${pin}`).sort() }));
  return {
    label: 'sample packages',
    data: { sets, costOf: () => UNMEASURED, requiresOf: () => undefined },
    modulesOf: (key) => [(key.split('==')[0] ?? key).replaceAll('-', '_')],
    settings: { pip_mirror: url },
    fitArgs: [],
  };
}
