/** The worker's counters in the format of /stats: `NAME.cnt` and `NAME.ms-avg`, absent before first use. */

/** Interface for the layers that record statistics. */
export interface Stats {
  /** Records one measured event: increments the count and adds to the average. */
  record(name: string, ms: number): void;
  /** Records one event without a duration. */
  count(name: string): void;
}

interface Series {
  count: number;
  /** Sum of durations in ms; undefined for a name without durations. */
  totalMs: number | undefined;
}

/** Stores only sums, so that its size depends only on the number of names. */
export class StatsRegistry implements Stats {
  private readonly series = new Map<string, Series>();

  /** @param watched callbacks by name; each gets the durations of its name, ms */
  constructor(private readonly watched: Readonly<Record<string, (ms: number) => void>> = {}) {}

  record(name: string, ms: number): void {
    const series = this.at(name);
    series.count++;
    series.totalMs = (series.totalMs ?? 0) + ms;
    this.watched[name]?.(ms);
  }

  count(name: string): void {
    this.at(name).count++;
  }

  /** Number of events with this name. */
  countOf(name: string): number {
    return this.series.get(name)?.count ?? 0;
  }

  /** Integer values by key, as in the contract's /stats. Sorted by name, as Go writes maps. */
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
