/** Quantiles of histograms. Pure. */

/** Cumulative counts of a histogram, with upper bounds in seconds, ascending. */
export type Buckets = [bound: number, count: number][];

/**
 * The quantile of a histogram, in the unit of the bounds. Interpolates within the bucket, as Prometheus's
 * histogram_quantile does. NaN without observations. Values above the last bound give the last bound.
 */
export function quantile(share: number, buckets: Buckets): number {
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total === 0) return NaN;
  const rank = share * total;
  let [lower, below] = [0, 0];
  for (const [bound, count] of buckets) {
    if (count >= rank) {
      if (bound === Infinity) return lower;
      return lower + ((bound - lower) * (rank - below)) / (count - below || 1);
    }
    [lower, below] = [bound, count];
  }
  return lower;
}
