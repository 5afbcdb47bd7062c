import * as vega from 'vega';
import { compile } from 'vega-lite';
import type { TopLevelSpec } from 'vega-lite';
import type { Row } from './harness';

const WIDTH_PX = 640;

/** Renders a Vega-Lite specification to SVG without a browser. */
export async function renderSvg(spec: TopLevelSpec): Promise<string> {
  const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** Medians as points, with a bar from the minimum to the 99th percentile, on a logarithmic scale. */
export function latencySpec(rows: readonly Row[], title: string): TopLevelSpec {
  const values = rows.flatMap(({ name, summary }) => (summary === undefined ? [] : [{ name, ...summary }]));
  const y = { field: 'name', type: 'nominal' as const, sort: { field: 'medianMs' }, title: null };
  const scale = { type: 'log' as const };
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    title,
    width: WIDTH_PX,
    height: { step: 28 },
    data: { values },
    encoding: { y: { ...y, axis: { labelLimit: 260 } } },
    layer: [
      {
        mark: { type: 'rule', color: '#9ab', strokeWidth: 4 },
        encoding: {
          x: { field: 'minMs', type: 'quantitative', scale, title: 'ms: fastest to p99, point at the median' },
          x2: { field: 'p99Ms' },
        },
      },
      {
        mark: { type: 'point', filled: true, size: 90, color: '#236' },
        encoding: { x: { field: 'medianMs', type: 'quantitative', scale } },
      },
      {
        mark: { type: 'text', dy: -10, fontSize: 10 },
        encoding: {
          x: { field: 'medianMs', type: 'quantitative', scale },
          text: { field: 'medianMs', type: 'quantitative', format: '.2f' },
        },
      },
    ],
  };
}

/** Cumulative distributions of all samples. */
export function distributionSpec(rows: readonly Row[], title: string): TopLevelSpec {
  const values = rows.flatMap(({ name, samplesMs }) => {
    const sorted = [...samplesMs].sort((a, b) => a - b);
    return sorted.map((ms, index) => ({ name, ms, share: (index + 1) / sorted.length }));
  });
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    title,
    width: WIDTH_PX,
    height: 300,
    data: { values },
    mark: { type: 'line', interpolate: 'step-after' },
    encoding: {
      x: { field: 'ms', type: 'quantitative', scale: { type: 'log' }, title: 'ms' },
      y: { field: 'share', type: 'quantitative', title: 'share of runs', axis: { format: '%' } },
      color: { field: 'name', type: 'nominal', title: null, legend: { labelLimit: 260 } },
    },
  };
}
