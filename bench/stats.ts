/** Order statistics of a sample. Pure. */
export interface Summary {
  count: number;
  minMs: number;
  medianMs: number;
  p90Ms: number;
  p99Ms: number;
  maxMs: number;
}

/**
 * The q-quantile (0 to 1), interpolated linearly between the two nearest ranks.
 * @throws RangeError for an empty sample or a q outside 0..1
 */
export function quantile(sample: readonly number[], q: number): number {
  if (sample.length === 0) throw new RangeError('quantile of an empty sample');
  if (!(q >= 0 && q <= 1)) throw new RangeError(`quantile q must lie in 0..1, got ${q}`);
  const sorted = [...sample].sort((a, b) => a - b);
  const rank = (sorted.length - 1) * q;
  const below = sorted[Math.floor(rank)] ?? 0;
  const above = sorted[Math.ceil(rank)] ?? below;
  return below + (above - below) * (rank - Math.floor(rank));
}

/** @throws RangeError for an empty sample */
export function summarize(sampleMs: readonly number[]): Summary {
  return {
    count: sampleMs.length,
    minMs: quantile(sampleMs, 0),
    medianMs: quantile(sampleMs, 0.5),
    p90Ms: quantile(sampleMs, 0.9),
    p99Ms: quantile(sampleMs, 0.99),
    maxMs: quantile(sampleMs, 1),
  };
}
