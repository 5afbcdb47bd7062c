import type { TopLevelSpec } from 'vega-lite';
import type { Row } from '../harness';
import { primitivePoint } from './primitives';
import type { ClaimResult } from './report';

const SCHEMA = 'https://vega.github.io/schema/vega-lite/v5.json';
const LEFT_PX = 460;
const RIGHT_PX = 220;
const PAPER = 'the paper';
const HERE = 'here';
const COLORS = { domain: [PAPER, HERE], range: ['#bbb', '#236'] };

/** The right half of every figure: the paper's ratio beside this run's. */
function claimBars(claims: readonly ClaimResult[], height: number): object {
  const values = claims.flatMap(({ about, paper, here }) => [
    { about, who: PAPER, ratio: paper },
    { about, who: HERE, ratio: here },
  ]);
  const y = { field: 'about', type: 'nominal', sort: null, title: null };
  const offset = { field: 'who', sort: [PAPER, HERE] };
  const x = { field: 'ratio', type: 'quantitative', title: 'times' };
  return {
    title: 'Ratio of medians',
    width: RIGHT_PX,
    height,
    data: { values: values.filter(({ ratio }) => ratio !== undefined) },
    encoding: { y, yOffset: offset, x },
    layer: [
      { mark: 'bar', encoding: { color: { field: 'who', type: 'nominal', title: null, scale: COLORS } } },
      {
        mark: { type: 'text', align: 'left', dx: 3, fontSize: 10 },
        encoding: { text: { field: 'ratio', type: 'quantitative', format: '.1f' } },
      },
    ],
  };
}

const beside = (title: string, left: object, right: object): TopLevelSpec =>
  // The halves are plain data. Vega-Lite checks them at compile time.
  ({ $schema: SCHEMA, title, hconcat: [left, right], resolve: { scale: { color: 'independent' } } }) as TopLevelSpec;

/** Medians with a line from the minimum to the 99th percentile. Rows without figures show the reason. */
export function latencyFigure(title: string, rows: readonly Row[], claims: readonly ClaimResult[]): TopLevelSpec {
  const values = rows.flatMap(({ name, summary }) => (summary === undefined ? [] : [{ name, ...summary }]));
  const missing = rows.flatMap(({ name, summary, skipped }) =>
    summary === undefined ? [{ name, why: skipped ?? 'no figures' }] : [],
  );
  const y = { field: 'name', type: 'nominal', sort: rows.map(({ name }) => name), title: null };
  const median = { field: 'medianMs', type: 'quantitative', scale: { type: 'log' } };
  const axisTitle = 'ms: fastest to p99, point at the median';
  const height = Math.max(rows.length * 34, claims.length * 34, 80);
  const left = {
    title: 'Time',
    width: LEFT_PX,
    height,
    data: { values },
    encoding: { y },
    layer: [
      {
        mark: { type: 'rule', color: '#9ab', strokeWidth: 4 },
        encoding: { x: { ...median, field: 'minMs', title: axisTitle }, x2: { field: 'p99Ms' } },
      },
      { mark: { type: 'point', filled: true, size: 80, color: '#236' }, encoding: { x: median } },
      {
        mark: { type: 'text', dy: -10, fontSize: 10 },
        encoding: { x: median, text: { field: 'medianMs', type: 'quantitative', format: '.2f' } },
      },
      {
        data: { values: missing },
        mark: { type: 'text', align: 'left', fontSize: 10, color: '#a33' },
        encoding: { x: { value: 5 }, text: { field: 'why' } },
      },
    ],
  };
  return beside(title, left, claimBars(claims, height));
}

/** Operations per second of each primitive, by the number of concurrent processes. */
export function primitivesFigure(title: string, rows: readonly Row[], claims: readonly ClaimResult[]): TopLevelSpec {
  const values = rows.flatMap(({ name, summary }) => {
    const point = primitivePoint(name);
    return summary === undefined ? [] : [{ ...point, perSecond: (point.workers * 1000) / summary.medianMs }];
  });
  const left = {
    title: 'Throughput',
    width: LEFT_PX,
    height: 340,
    data: { values },
    mark: { type: 'line', point: true },
    encoding: {
      x: { field: 'workers', type: 'ordinal', title: 'processes at once', axis: { labelAngle: 0 } },
      y: { field: 'perSecond', type: 'quantitative', scale: { type: 'log' }, title: 'operations per second' },
      color: { field: 'primitive', type: 'nominal', title: null, sort: null },
    },
  };
  return beside(title, left, claimBars(claims, 100));
}
