/** Simulates all policies on one trace at several memory sizes. */
import { simulate, type SimPolicy, type SimResult } from './engine';
import { costModel } from './model';
import { lru, none, popularity, rootOnly, staticTree } from './policies';
import type { PackageData } from './reqbench';
import type { Trace } from './trace';

/**
 * Memory shares for zygotes in the simulations of the static tree and of LRU. Neither policy finds a good share by
 * itself, so compare() uses the share with the best result.
 */
export const SHARES = [0.5, 0.7, 0.85] as const;

/** Returns one result per policy and memory size, in a fixed order; `static` and `lru` with their best share. */
export function compare(
  trace: Trace,
  data: PackageData,
  memoriesMb: readonly number[],
  onResult: (result: SimResult) => void = () => undefined,
): SimResult[] {
  const results: SimResult[] = [];
  for (const memoryMb of memoriesMb) {
    const model = costModel(memoryMb);
    const contenders: (() => SimPolicy)[][] = [
      [none],
      [rootOnly],
      SHARES.map((share) => () => staticTree(data, share)),
      SHARES.map((share) => () => lru(share)),
      [() => popularity(data)],
    ];
    for (const variants of contenders) {
      const [best] = variants
        .map((make) => simulate(trace, data, model, make()))
        .sort((a, b) => a.totalColdMs - b.totalColdMs);
      if (best === undefined) continue;
      results.push(best);
      onResult(best);
    }
  }
  return results;
}
