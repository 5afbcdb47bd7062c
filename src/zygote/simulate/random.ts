/** Seedable random draws for reproducible traces. */
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform integer in [0, below). */
  int(below: number): number;
  /** Exponential with the given mean. */
  exponential(mean: number): number;
  /** Log-normal with the given median; sigma 0 always gives the median. */
  logNormal(median: number, sigma: number): number;
}

/** Makes a generator. The same seed gives the same draws on every machine. */
export function random(seed: number): Random {
  const generator = xoroshiro128plus(seed);
  // Neighbouring seeds give similar first draws, so these draws are skipped.
  for (let skip = 0; skip < 64; skip++) uniformFloat64(generator);
  const next = (): number => Math.min(uniformFloat64(generator), 1 - Number.EPSILON);
  const exponential = (mean: number): number => -mean * Math.log(1 - next());
  return {
    next,
    int: (below) => Math.floor(next() * below),
    exponential,
    logNormal: (median, sigma) =>
      median * Math.exp(sigma * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())),
  };
}

/** Makes a sampler of indexes with the given weights. */
export function weighted(weights: readonly number[], source: Random): () => number {
  const sums: number[] = [];
  let total = 0;
  for (const weight of weights) sums.push((total += weight));
  return () => {
    const target = source.next() * total;
    let low = 0;
    let high = sums.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] ?? 0) > target) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

/** Returns Zipf's weights of ranks 1 to n: rank^-s. */
export function zipfWeights(n: number, s: number): number[] {
  return Array.from({ length: n }, (_, index) => Math.pow(index + 1, -s));
}
