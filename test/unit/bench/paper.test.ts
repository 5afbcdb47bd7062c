import { paperFigures } from '../../../bench/paper/catalog';
import { latencyFigure } from '../../../bench/paper/plots';
import { primitiveName, primitivePoint } from '../../../bench/paper/primitives';
import { claimsTable, compare } from '../../../bench/paper/report';
import type { Row } from '../../../bench/harness';
import { renderSvg } from '../../../bench/plot';
import { summarize } from '../../../bench/stats';

const row = (name: string, samplesMs: number[], skipped?: string): Row => {
  const summary = samplesMs.length === 0 ? undefined : summarize(samplesMs);
  const counts = { stolenTicks: samplesMs.map(() => 0), failures: [], strayed: 0 };
  return { name, about: name, samplesMs, ...counts, skipped, summary, undisturbed: summary };
};

const ROWS = [row('docker run', [], 'docker is not installed'), row('runc run', [40, 60]), row('lean container', [10])];
const figure = paperFigures('pandas')[0];

test("the report has each ratio beside the paper's, and names missing peers", () => {
  const claims = compare(ROWS, figure?.claims ?? []);
  expect(claims.map(({ paper, here }) => [paper, here])).toEqual([
    [18, undefined],
    [undefined, 5],
    [undefined, undefined],
  ]);
  expect(claimsTable(claims)).toMatch(/Docker \/ lean +\| 18\.0× +\| not measured/);
});

test('the plot of a figure names the row without figures, with its reason', async () => {
  const svg = await renderSvg(latencyFigure('lean', ROWS, compare(ROWS, figure?.claims ?? [])));
  expect(svg).toContain('docker is not installed');
  expect(svg).toContain('>50.00<');
  expect(svg).toContain('>18.0<');
});

test("the name of a primitive's row can be parsed", () => {
  expect(primitivePoint(primitiveName('cgroup-new', 8))).toEqual({ primitive: 'cgroup-new', workers: 8 });
});
