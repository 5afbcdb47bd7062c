import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { WorkerMetrics } from '../../../src/metrics/prometheus';

const Dashboard = z.object({
  panels: z.array(z.object({ title: z.string(), targets: z.array(z.object({ expr: z.string() })) })),
});
const FILE = resolve(__dirname, '../../../configs/grafana/argyle.json');

/** Names of all series that a worker exports, histograms with their suffixes. */
async function exportedNames(): Promise<Set<string>> {
  const metrics = new WorkerMetrics();
  metrics.observe({
    instances: () => ({ busy: 0, idle: 0, paused: 0, starting: 0 }),
    queued: () => 0,
    memory: () => ({ usedBytes: 0, totalBytes: 0 }),
    zygotes: () => 0,
  });
  metrics.requestEnded('echo', 200, 0.001);
  metrics.sandboxStarted('fork', 0.001);
  const text = await metrics.text();
  return new Set(text.split('\n').flatMap((line) => /^([a-z_0-9]+)[{ ]/.exec(line)?.[1] ?? []));
}

test('every series on the Grafana dashboard is one that the worker exports', async () => {
  const { panels } = Dashboard.parse(JSON.parse(readFileSync(FILE, 'utf8')));
  const used = panels.flatMap((panel) =>
    panel.targets.flatMap(({ expr }) => [...expr.matchAll(/([a-z_0-9]+)\{/g)].map((match) => match[1])),
  );
  const exported = await exportedNames();
  expect(used.length).toBeGreaterThanOrEqual(panels.length);
  expect(used.filter((name) => name === undefined || !exported.has(name))).toEqual([]);
});

test('every series of our own is on the dashboard', async () => {
  const text = readFileSync(FILE, 'utf8');
  const own = [...(await exportedNames())].filter((name) => name.startsWith('argyle_') && !name.endsWith('_sum'));
  const missing = own.filter((name) => !text.includes(name));
  // Durations are drawn from their buckets; their count is the requests' own series.
  expect(missing).toEqual(['argyle_request_duration_seconds_count']);
});
