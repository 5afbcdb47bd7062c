import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const ROOT = resolve(__dirname, '../../..');

/** Packages named in the first column of the tables below one heading. */
function named(page: string, heading: string): string[] {
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  const cells = section.split('\n').flatMap((line) => /^\| (`[^|]*)\|/.exec(line)?.[1] ?? []);
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''));
}

test.each([
  ['At run time', ['dependencies', 'optionalDependencies']],
  ['For development', ['devDependencies']],
])('docs/dependencies.md names the packages "%s" of package.json, and no others', (heading, keys) => {
  const page = readFileSync(resolve(ROOT, 'docs/dependencies.md'), 'utf8');
  const manifest = JSON.parse(readFileSync(resolve(ROOT, 'package.json'), 'utf8')) as Record<string, object>;
  const wanted = keys.flatMap((key) => Object.keys(manifest[key] ?? {}));
  expect(named(page, heading).sort()).toEqual(wanted.sort());
});
