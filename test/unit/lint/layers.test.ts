import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../../..');

/** The linter accepts each allowed import between two layers and refuses all others. */
const ALLOWED: Record<string, readonly string[]> = {
  event: ['lambda', 'zygote', 'packages', 'sandbox', 'config', 'errors', 'metrics', 'log'],
  lambda: ['zygote', 'packages', 'sandbox', 'config', 'errors', 'metrics', 'log'],
  zygote: ['packages', 'sandbox', 'config', 'errors', 'metrics', 'log'],
  packages: ['sandbox', 'config', 'errors', 'metrics', 'log'],
  sandbox: ['helper', 'config', 'errors', 'metrics', 'log'],
  helper: ['config', 'errors', 'log'],
  config: ['errors'],
  errors: [],
  metrics: ['errors'],
  log: ['errors'],
};
/** Layers that the key must not import. */
const REFUSED: Record<string, readonly string[]> = {
  lambda: ['event'],
  zygote: ['lambda', 'event'],
  packages: ['lambda', 'event'],
  sandbox: ['zygote', 'packages', 'lambda', 'event'],
  helper: ['sandbox', 'zygote', 'packages', 'lambda', 'event'],
  config: ['helper', 'sandbox', 'zygote', 'packages', 'lambda', 'event'],
  errors: ['config', 'log', 'metrics', 'helper', 'sandbox', 'zygote', 'packages', 'lambda', 'event'],
  metrics: ['config', 'helper', 'sandbox', 'zygote', 'packages', 'lambda', 'event'],
  log: ['config', 'helper', 'sandbox', 'zygote', 'packages', 'lambda', 'event'],
};

/** A module of the layer; undefined for a layer without modules. */
function moduleOf(layer: string): string | undefined {
  const file = readdirSync(join(ROOT, 'src', layer)).find((name) => name.endsWith('.ts'));
  return file?.replace(/\.ts$/, '');
}

function lint(pairs: [string, string][]): string[][] {
  return lintImports(pairs.map(([from, to]) => [`src/${from}/probe.ts`, `../${to}/${moduleOf(to) ?? ''}`]));
}

/** The linter's messages for each file that imports the module beside it. */
function lintImports(imports: [file: string, imported: string][]): string[][] {
  const snippets = imports.map(([file, imported]) => ({
    file,
    code: `import * as other from '${imported}';\nexport const value = other;\n`,
  }));
  const probe = join(ROOT, 'test/support/lint-probe.mjs');
  const output = execFileSync(process.execPath, [probe, JSON.stringify(snippets)], { cwd: ROOT, encoding: 'utf8' });
  return JSON.parse(output) as string[][];
}

function pairsOf(table: Record<string, readonly string[]>): [string, string][] {
  return Object.entries(table).flatMap(([from, targets]) =>
    targets.filter((to) => moduleOf(to) !== undefined).map((to): [string, string] => [from, to]),
  );
}

test('imports that point upward are refused', () => {
  const pairs = pairsOf(REFUSED);
  expect(pairs.length).toBeGreaterThan(0);
  const reports = lint(pairs);
  const missed = pairs.filter((_, index) => !reports[index]?.join().includes('import-x/no-restricted-paths'));
  expect(missed).toEqual([]);
}, 60_000);

test('imports that point downward pass', () => {
  const pairs = pairsOf(ALLOWED);
  const reports = lint(pairs);
  const refused = pairs.filter((_, index) => reports[index]?.length !== 0);
  expect(refused).toEqual([]);
}, 60_000);

test('the zygote policy imports only itself, settings and errors', () => {
  const probe = 'src/zygote/policy/probe.ts';
  const refused = [
    '../provider',
    '../fleet/groups',
    '../learn/tracker',
    '../starts/queue',
    '../simulate/engine',
    '../../packages/plan',
    '../../packages/requirements/requirements',
    '../../sandbox/types',
    '../../helper/protocol',
    '../../metrics/index',
    '../../log/index',
    '../../main',
  ];
  const allowed = ['./match', '../../config/types', '../../errors/index'];
  for (const imported of [...refused, ...allowed])
    expect([imported, existsSync(join(ROOT, 'src/zygote/policy', `${imported}.ts`))]).toEqual([imported, true]);
  const reports = lintImports([...refused, ...allowed].map((imported) => [probe, imported]));
  const passed = refused.filter((_, index) => !reports[index]?.join().includes('src/zygote/policy is pure'));
  expect(passed).toEqual([]);
  expect(reports.slice(refused.length)).toEqual(allowed.map(() => []));
}, 60_000);
