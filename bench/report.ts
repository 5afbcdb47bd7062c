import type { Row } from './harness';
import type { Machine } from './machine';

/** A ratio that a run is held to: `of` divided by `to`, by median and by p99. */
export interface Goal {
  about: string;
  of: string;
  to: string;
  /** `atMost`: of ≤ limit × to. `atLeast`: of ≥ limit × to. */
  kind: 'atMost' | 'atLeast';
  limit: number;
}

export interface GoalResult extends Goal {
  medianRatio: number | undefined;
  p99Ratio: number | undefined;
  /** By median; undefined when one of the rows has no figures. */
  reached: boolean | undefined;
}

/** Compares the rows with the goals; pure. */
export function judge(rows: readonly Row[], goals: readonly Goal[]): GoalResult[] {
  const byName = new Map(rows.map((row) => [row.name, row.summary]));
  return goals.map((goal) => {
    const of = byName.get(goal.of);
    const to = byName.get(goal.to);
    if (of === undefined || to === undefined) {
      return { ...goal, medianRatio: undefined, p99Ratio: undefined, reached: undefined };
    }
    const medianRatio = of.medianMs / to.medianMs;
    const reached = goal.kind === 'atMost' ? medianRatio <= goal.limit : medianRatio >= goal.limit;
    return { ...goal, medianRatio, p99Ratio: of.p99Ms / to.p99Ms, reached };
  });
}

const NOTE_CHARS = 90;
/** One line of a table, whatever a program printed. */
const note = (text: string): string => text.replaceAll(/\s+/g, ' ').replaceAll('|', '/').slice(0, NOTE_CHARS);
/** Two digits below ten, one above. */
export const fixed = (value: number): string => value.toFixed(value < 10 ? 2 : 1);

/** A Markdown table, padded for reading as text. */
export function table(header: string[], lines: string[][]): string {
  const widths = header.map((cell, column) => Math.max(cell.length, ...lines.map((line) => line[column]?.length ?? 0)));
  const format = (line: string[]): string =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  return [format(header), rule, ...lines.map(format)].join('\n');
}

/** The figures as a Markdown table; ratios are medians over the baseline's median. */
export function figuresTable(rows: readonly Row[], baseline: string): string {
  const base = rows.find((row) => row.name === baseline)?.summary?.medianMs;
  const lines = rows.map((row) => {
    const { summary } = row;
    if (summary === undefined) return [row.name, '0', '', '', '', '', note(row.skipped ?? 'no figures')];
    const ratio = base === undefined ? '' : `${fixed(summary.medianMs / base)}×`;
    const trouble = row.failures.length === 0 ? '' : note(`${row.failures.length} failed: ${row.failures[0] ?? ''}`);
    const { medianMs, p99Ms, minMs } = summary;
    return [row.name, String(summary.count), fixed(medianMs), fixed(p99Ms), fixed(minMs), ratio, trouble];
  });
  return table(['what', 'n', 'median ms', 'p99 ms', 'min ms', `× ${baseline}`, 'note'], lines);
}

/** The goals as a Markdown table. */
export function goalsTable(results: readonly GoalResult[]): string {
  const lines = results.map((result) => {
    const wanted = `${result.kind === 'atMost' ? '≤' : '≥'} ${result.limit}×`;
    const cell = (ratio: number | undefined): string => (ratio === undefined ? '' : `${fixed(ratio)}×`);
    const verdict = result.reached === undefined ? 'not measured' : result.reached ? 'reached' : 'MISSED';
    return [result.about, wanted, cell(result.medianRatio), cell(result.p99Ratio), verdict];
  });
  return table(['goal', 'wanted', 'median', 'p99', ''], lines);
}

export function machineLines(machine: Machine): string {
  return Object.entries(machine)
    .map(([name, value]) => `${name}: ${String(value)}`)
    .join('\n');
}
