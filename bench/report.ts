import type { Breakdown, Capacity, ChurnRuns } from './capacity';
import type { Row } from './harness';
import type { Machine } from './machine';
import { quantile } from './stats';

/** A goal for a ratio of rows: `of` divided by `to`, by median and by p99. */
export interface Goal {
  about: string;
  of: string;
  to: string;
  /** `atMost`: of ≤ limit × to. `atLeast`: of ≥ limit × to. */
  kind: 'atMost' | 'atLeast';
  limit: number;
}

export interface GoalResult {
  about: string;
  kind: Goal['kind'];
  limit: number;
  /** `×` for ratios, otherwise the unit of the figures. */
  unit: string;
  /** The ratio of medians, or the figure itself. */
  median: number | undefined;
  /** The ratio of the 99th percentiles, if there are any. */
  p99: number | undefined;
  /**
   * The ratio of the 99th percentiles of the samples without stolen ticks. It is informative and does not decide the
   * result.
   */
  undisturbedP99: number | undefined;
  /** Whether the median reaches the goal; undefined without figures. */
  reached: boolean | undefined;
}

const holds = (kind: Goal['kind'], value: number, limit: number): boolean =>
  kind === 'atMost' ? value <= limit : value >= limit;

/** Compares the rows with the goals. Pure. */
export function judge(rows: readonly Row[], goals: readonly Goal[]): GoalResult[] {
  const byName = new Map(rows.map((row) => [row.name, row]));
  return goals.map(({ about, kind, limit, of: ofName, to: toName }) => {
    const of = byName.get(ofName);
    const to = byName.get(toName);
    const common = { about, kind, limit, unit: '×' };
    if (of?.summary === undefined || to?.summary === undefined)
      return { ...common, median: undefined, p99: undefined, undisturbedP99: undefined, reached: undefined };
    const median = of.summary.medianMs / to.summary.medianMs;
    const p99 = of.summary.p99Ms / to.summary.p99Ms;
    const undisturbedP99 = of.undisturbed && to.undisturbed && of.undisturbed.p99Ms / to.undisturbed.p99Ms;
    return { ...common, median, p99, undisturbedP99, reached: holds(kind, median, limit) };
  });
}

/** Each run beside paused sandboxes, as a share of the mean of the runs before and after it. */
function besideNeighbours({ alone, besidePaused }: ChurnRuns): number[] {
  return besidePaused.map((beside, turn) => {
    const [before = NaN, after = NaN] = alone.slice(turn);
    return beside / ((before + after) / 2);
  });
}

/** The results of the goals that are not times. Pure. @param capacity undefined when it was not measured */
export function judgeCapacity(capacity: Capacity | undefined): GoalResult[] {
  const goal = (
    about: string,
    kind: Goal['kind'],
    limit: number,
    unit: string,
    median: number | undefined,
  ): GoalResult => {
    const reached = median === undefined ? undefined : holds(kind, median, limit);
    return { about, kind, limit, unit, median, p99: undefined, undisturbedP99: undefined, reached };
  };
  const churn = capacity?.churnPerSec;
  const alone = churn && quantile(churn.alone, 0.5);
  const beside = churn && quantile(churn.besidePaused, 0.5);
  const flat = churn && quantile(besideNeighbours(churn), 0.5);
  return [
    goal('sandboxes made by fork and destroyed', 'atLeast', 500, '/s', alone),
    goal(`the same beside ${capacity?.paused ?? 1000} paused sandboxes`, 'atLeast', 500, '/s', beside),
    goal('churn beside paused sandboxes against churn alone', 'atLeast', 0.9, '×', flat),
    goal('memory of one more idle leaf of the large zygote', 'atMost', 3, ' MB', capacity?.leafPssMb?.idle),
    goal('memory of one more spare of the large zygote', 'atMost', 3, ' MB', capacity?.leafPssMb?.spare),
  ];
}

const NOTE_CHARS = 90;
/** Formats any program's output as one table cell. */
const note = (text: string): string => text.replaceAll(/\s+/g, ' ').replaceAll('|', '/').slice(0, NOTE_CHARS);
/** Two decimals below 10, otherwise one. */
export const fixed = (value: number): string => value.toFixed(value < 10 ? 2 : 1);

/** A Markdown table, padded to be readable as text. */
export function table(header: string[], lines: string[][]): string {
  const widths = header.map((cell, column) => Math.max(cell.length, ...lines.map((line) => line[column]?.length ?? 0)));
  const format = (line: string[]): string =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  return [format(header), rule, ...lines.map(format)].join('\n');
}

/** The figures as a Markdown table. Ratios are medians divided by the baseline's median. */
export function figuresTable(rows: readonly Row[], baseline: string): string {
  const base = rows.find((row) => row.name === baseline)?.summary?.medianMs;
  const lines = rows.map((row) => {
    const { summary } = row;
    if (summary === undefined) return [row.name, '0', '', '', '', '', '', note(row.skipped ?? 'no figures')];
    const ratio = base === undefined ? '' : `${fixed(summary.medianMs / base)}×`;
    const failed = row.failures.length === 0 ? '' : `${row.failures.length} failed: ${row.failures[0] ?? ''}`;
    const astray = row.strayed === 0 ? '' : `${row.strayed} went another way`;
    const trouble = note([astray, failed].filter((text) => text !== '').join('; '));
    const { medianMs, p99Ms, minMs } = summary;
    const quiet = row.undisturbed === undefined ? '' : `${fixed(row.undisturbed.p99Ms)} (${row.undisturbed.count})`;
    return [row.name, String(summary.count), fixed(medianMs), fixed(p99Ms), quiet, fixed(minMs), ratio, trouble];
  });
  return table(['what', 'n', 'median ms', 'p99 ms', 'p99 undisturbed (n)', 'min ms', `× ${baseline}`, 'note'], lines);
}

/** The goals as a Markdown table. */
export function goalsTable(results: readonly GoalResult[]): string {
  const lines = results.map(({ about, kind, limit, unit, median, p99, undisturbedP99, reached }) => {
    const wanted = `${kind === 'atMost' ? '≤' : '≥'} ${limit}${unit}`;
    const cell = (value: number | undefined): string => (value === undefined ? '' : `${fixed(value)}${unit}`);
    const met = verdict(reached, p99 === undefined || holds(kind, p99, limit));
    return [about, wanted, cell(median), cell(p99), cell(undisturbedP99), met];
  });
  return table(['goal', 'wanted', 'median', 'p99', 'p99 undisturbed', ''], lines);
}

function verdict(reached: boolean | undefined, p99Too: boolean): string {
  if (reached === undefined) return 'not measured';
  if (!reached) return 'MISSED';
  return p99Too ? 'met' : 'met by median, p99 MISSED';
}

/** The phases of a cold start as a Markdown table. The HTTP rows show what the worker adds. */
export function breakdownTable(breakdown: readonly Breakdown[], rows: readonly Row[]): string {
  const medians = new Map(rows.map(({ name, summary }) => [name, summary?.medianMs]));
  const lines = breakdown.map(({ name, kind, count, startMs, importMs, serveMs, totalMs }) => {
    const row = `${name === 'nothing to import' ? 'cold' : 'cold packages'}: ${kind}`;
    const overHttp = medians.get(row);
    const around = overHttp === undefined ? '' : fixed(overHttp - totalMs);
    return [name, kind, String(count), ...[startMs, importMs, serveMs, totalMs].map(fixed), around];
  });
  const parts = ['order to running', 'import of the handler', 'boot, request, answer', 'first byte'];
  return table(['median ms', 'start', 'n', ...parts, 'HTTP around it'], lines);
}

export function machineLines(machine: Machine & { stolenByHost?: string }): string {
  return Object.entries(machine)
    .map(([name, value]) => `${name}: ${String(value)}`)
    .join('\n');
}
