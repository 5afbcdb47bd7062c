/** Asks uv for the current dependencies of packages. uv uses its own configured package index. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseClosure, type Closure } from '../../zygote/policy/counted-packages';
import { CliError } from '../command';
import { HOME } from '../paths';

/** Time limit per package, ms. */
const TIMEOUT_MS = 120_000;

/** The guest's uv, else the uv on PATH. */
function uvPath(): string {
  const built = join(HOME, 'build/guest/uv');
  const installed = join(HOME, 'guest/uv');
  return [built, installed].find((path) => existsSync(path)) ?? 'uv';
}

/**
 * The newest closure of one package for a Python version on Linux; undefined when there is none.
 * @throws CliError when uv cannot be run
 */
export function closureOf(name: string, python: string, env: NodeJS.ProcessEnv): Promise<Closure | undefined> {
  const argv = ['pip', 'compile', '-', '--python-version', python, '--python-platform', 'linux', '--quiet'];
  const format = ['--no-header', '--annotation-style', 'line', '--no-config', '--only-binary', ':all:'];
  return new Promise((resolve, reject) => {
    const child = execFile(uvPath(), [...argv, ...format], { timeout: TIMEOUT_MS, env }, (error, out) => {
      if (error === null) resolve(parseClosure(out));
      else if (typeof error.code === 'string') reject(new CliError(`uv cannot be run: ${error.message}`));
      else resolve(undefined);
    });
    child.stdin?.end(`${name}\n`);
  });
}
