/** The Grafana board and the rules for Prometheus name existing series, and the board has all of the worker's own. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { WorkerMetrics } from '../../../src/metrics/prometheus';

const CONFIGS = resolve(__dirname, '../../../configs');
const Dashboard = z.object({
  templating: z.object({ list: z.array(z.object({ name: z.string(), query: z.string() })) }),
  panels: z.array(z.object({ title: z.string(), targets: z.array(z.object({ expr: z.string() })) })),
});
const board = Dashboard.parse(JSON.parse(readFileSync(resolve(CONFIGS, 'grafana/argyle.json'), 'utf8')));
const exprs = board.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));

const Rules = z.object({
  groups: z.array(z.object({ rules: z.array(z.object({ record: z.string().optional(), expr: z.string() })) })),
});
const rules = Rules.parse(parse(readFileSync(resolve(CONFIGS, 'prometheus/rules.yml'), 'utf8'))).groups.flatMap(
  (group) => group.rules,
);

/** Labels of all series that a worker exports, by name, histograms with their suffixes. */
async function exported(): Promise<Map<string, Set<string>>> {
  const metrics = new WorkerMetrics();
  metrics.buildInfo('1');
  const states = { busy: 0, idle: 0, paused: 0, starting: 0 };
  const usage = () => Promise.resolve({ memBytes: 1, cpuUsec: 1 });
  metrics.observe({
    instances: () => states,
    queued: () => 0,
    memory: () => ({ usedBytes: 0, totalBytes: 0, tiers: { instance: 0 } }),
    zygotes: () => 0,
    kafka: () => ({ running: 0, waiting: 0 }),
    counted: () => 0,
    sandboxes: () => [['echo', { usage }]],
  });
  metrics.requestEnded('echo', 200, 0.001);
  const call = {
    trigger: 'http',
    code: 'TIMEOUT',
    answered: true,
    queueMs: 1,
    overheadMs: 1,
    importMs: 1,
    cause: 'first',
    failed: true,
  };
  metrics.callEnded('echo', call);
  metrics.oomKilled('echo');
  metrics.sandboxStarted('fork', 0.001);
  metrics.evicted('pause');
  metrics.logDropped(1, 'disk');
  metrics.helperEnded();
  metrics.codePulled(1);
  metrics.packageInstalled(1);
  const found = new Map<string, Set<string>>();
  for (const line of (await metrics.text()).split('\n')) {
    const [, name, labels = ''] = /^([a-z_0-9]+)(?:\{(.*?)\})? /.exec(line) ?? [];
    if (name === undefined) continue;
    const names = [...labels.matchAll(/(\w+)="/g)].map(([, label]) => label ?? '');
    found.set(name, new Set([...(found.get(name) ?? []), ...names]));
  }
  return found;
}

/** Series of an expression, with the labels in their selectors and aggregations. */
function series(expr: string): { name: string; labels: string[] }[] {
  const by = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = '']) =>
    list.split(',').map((label) => label.trim()),
  );
  return [...expr.matchAll(/\b((?:argyle|process|nodejs)_[a-z_0-9]+)(?:\{([^}]*)\})?/g)].map(
    ([, name = '', selector = '']) => ({
      name,
      labels: [...by, ...[...selector.matchAll(/(\w+)=~?"/g)].map(([, label]) => label ?? '')],
    }),
  );
}

/** Labels that Prometheus adds. */
const SCRAPED = ['instance', 'job'];

test.each([...exprs, ...rules.map(({ expr }) => expr)])('%s uses only existing series and labels', async (expr) => {
  const there = await exported();
  const used = series(expr);
  if (!/^up\{/.test(expr) && !expr.startsWith('argyle:')) expect(used.length).toBeGreaterThan(0);
  for (const { name, labels } of used) {
    expect([...there.keys()]).toContain(name);
    const known = [...SCRAPED, ...(there.get(name) ?? [])];
    expect(labels.filter((label) => !known.includes(label))).toEqual([]);
  }
});

test('rules use only existing rules', () => {
  const recorded = rules.flatMap(({ record }) => (record === undefined ? [] : [record]));
  const used = rules.flatMap(({ expr }) => [...expr.matchAll(/\bargyle:[a-z_0-9:]+/g)].map(([name]) => name));
  expect(used.filter((name) => !recorded.includes(name))).toEqual([]);
});

test('the dashboard contains every series of Argyle', async () => {
  const own = [...(await exported()).keys()].filter((name) => name.startsWith('argyle_') && !name.endsWith('_sum'));
  const missing = own.filter((name) => !exprs.some((expr) => new RegExp(`\\b${name}\\b`).test(expr)));
  // The dashboard draws durations from their buckets.
  expect(missing.filter((name) => !name.endsWith('_count'))).toEqual([]);
});

test('the dashboard has a variable for the function, and panels use it', () => {
  const { list } = board.templating;
  expect(list.find(({ name }) => name === 'lambda')?.query).toBe(
    'label_values(argyle_requests_total{instance=~"$instance"}, lambda)',
  );
  expect(exprs.filter((expr) => expr.includes('lambda=~"$lambda"')).length).toBeGreaterThan(5);
});
