/**
 * The worker's counters as /stats shows them: `NAME.cnt` and `NAME.ms-avg`, absent until first use.
 */

/** What the layers below record into. */
export interface Stats {
  /** One measured event: raises the count and takes part in the average. */
  record(name: string, ms: number): void;
  /** One event without a duration. */
  count(name: string): void;
}

interface Series {
  count: number;
  /** Sum of durations in ms; undefined when the name was only counted. */
  totalMs: number | undefined;
}

/** Keeps sums only, so that its size is the number of names. */
export class StatsRegistry implements Stats {
  private readonly series = new Map<string, Series>();

  record(name: string, ms: number): void {
    const series = this.at(name);
    series.count++;
    series.totalMs = (series.totalMs ?? 0) + ms;
  }

  count(name: string): void {
    this.at(name).count++;
  }

  /** Integer values by key, as the contract's /stats has them, in the order of names, as Go writes maps. */
  snapshot(): Record<string, number> {
    const out: Record<string, number> = {};
    for (const [name, { count, totalMs }] of [...this.series].sort(([a], [b]) => (a < b ? -1 : 1))) {
      out[`${name}.cnt`] = count;
      if (totalMs !== undefined) out[`${name}.ms-avg`] = Math.round(totalMs / count);
    }
    return out;
  }

  /** The body of /stats and of stats.json. */
  text(): string {
    return JSON.stringify(this.snapshot(), undefined, '\t');
  }

  private at(name: string): Series {
    let series = this.series.get(name);
    if (series === undefined) {
      series = { count: 0, totalMs: undefined };
      this.series.set(name, series);
    }
    return series;
  }
}
