/** Builds test variants of the helper and of libguest in build/test/ if their sources have changed. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

export const ROOT = resolve(__dirname, '../../..');
export const HELPER_DIR = join(ROOT, 'sandbox-helper');
export const OUT = join(ROOT, 'build/test');

/** The helper's sources: SRC in its Makefile. */
export function helperSources(): string[] {
  const line = /^SRC = (.*)$/m.exec(readFileSync(join(HELPER_DIR, 'Makefile'), 'utf8'))?.[1] ?? '';
  return line.split(' ').map((name) => join(HELPER_DIR, name));
}

const headers = (): string[] =>
  readdirSync(HELPER_DIR, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.h'))
    .map((name) => join(HELPER_DIR, name));

function isFresh(target: string, inputs: readonly string[]): boolean {
  return existsSync(target) && inputs.every((input) => statSync(input).mtimeMs <= statSync(target).mtimeMs);
}

/** Compiles `sources` to build/test/NAME. @throws Error with the compiler's output */
export function compile(name: string, sources: readonly string[], flags: readonly string[] = [], cc = 'cc'): string {
  const target = join(OUT, name);
  const inputs = [...sources, ...headers(), __filename];
  if (isFresh(target, inputs)) return target;
  mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
  // Renamed, because another group of tests may compile or start the same target at the same time.
  const draft = `${target}.${process.pid}`;
  const args = ['-std=c11', '-D_GNU_SOURCE', '-O1', '-g', '-I', HELPER_DIR, '-o', draft, ...sources, ...flags];
  execFileSync(cc, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 120_000 });
  renameSync(draft, target);
  return target;
}

/** A variant of the helper with extra compiler flags. */
export function buildHelper(name: string, flags: readonly string[] = [], cc = 'cc'): string {
  return compile(name, helperSources(), ['-fPIE', '-pie', ...flags], cc);
}
