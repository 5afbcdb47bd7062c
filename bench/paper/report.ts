import type { Row } from '../harness';
import { fixed, table } from '../report';
import type { Claim } from './catalog';
import { CONCURRENCY, PRIMITIVES, primitiveName } from './primitives';

export interface ClaimResult extends Claim {
  /** Ratio of medians in this run; undefined when a row has no figures. */
  here: number | undefined;
}

/** Compares this run's ratios with the paper's. Pure. */
export function compare(rows: readonly Row[], claims: readonly Claim[]): ClaimResult[] {
  const medians = new Map(rows.map(({ name, summary }) => [name, summary?.medianMs]));
  return claims.map((claim) => {
    const of = medians.get(claim.of);
    const to = medians.get(claim.to);
    return { ...claim, here: of === undefined || to === undefined ? undefined : of / to };
  });
}

/** The ratios of one figure as a Markdown table. */
export function claimsTable(claims: readonly ClaimResult[]): string {
  const times = (ratio: number | undefined, none: string): string => (ratio === undefined ? none : `${fixed(ratio)}×`);
  const lines = claims.map(({ about, paper, here }) => [about, times(paper, ''), times(here, 'not measured')]);
  return table(['ratio of medians', 'the paper', 'here'], lines);
}

/** What each row measures, as a Markdown list. */
export function aboutLines(rows: readonly Row[]): string {
  return rows.map(({ name, about }) => `- ${name}: ${about}`).join('\n');
}

/** Median time of one operation, µs: one line per primitive, one column per concurrency. */
export function primitivesTable(rows: readonly Row[]): string {
  const byName = new Map(rows.map((row) => [row.name, row]));
  const lines = PRIMITIVES.map((primitive) => {
    const found = CONCURRENCY.map((workers) => byName.get(primitiveName(primitive, workers)));
    const cells = found.map((row) => (row?.summary === undefined ? '' : fixed(row.summary.medianMs * 1000)));
    const trouble = found.map((row) => row?.skipped ?? row?.failures[0]).find((text) => text !== undefined);
    return [primitive, ...cells, (trouble ?? '').replaceAll(/\s+/g, ' ')];
  });
  return table(['µs', ...CONCURRENCY.map((workers) => `${workers} at once`), 'note'], lines);
}
