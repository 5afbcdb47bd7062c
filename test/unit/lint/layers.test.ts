import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../../..');

/** Every import between two layers: allowed ones pass the linter, the others are refused. */
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
/** Higher layers than the key that it must not know. */
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

/** A module of the layer, or undefined while it has none. */
function moduleOf(layer: string): string | undefined {
  const file = readdirSync(join(ROOT, 'src', layer)).find((name) => name.endsWith('.ts'));
  return file?.replace(/\.ts$/, '');
}

function lint(pairs: [string, string][]): string[][] {
  const snippets = pairs.map(([from, to]) => ({
    file: `src/${from}/probe.ts`,
    code: `import * as other from '../${to}/${moduleOf(to) ?? ''}';\nexport const value = other;\n`,
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
