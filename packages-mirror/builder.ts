/** Builds the sample packages with Debian's setuptools and wheel, without network access. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** This folder's sources, whether this module runs from its source or from build/packages-mirror. */
export const SOURCE_DIR = existsSync(join(__dirname, 'samples'))
  ? __dirname
  : resolve(__dirname, '../../packages-mirror');
export const DEFAULT_BUILD_DIR = resolve(SOURCE_DIR, '../build/mirror');

/**
 * Builds the packages if their sources have changed. Concurrent calls wait for each other, also across processes.
 * @returns the directory with the packages
 * @throws Error with the build's output when a build fails
 */
export async function buildPackages(buildDir = DEFAULT_BUILD_DIR, python = '/usr/bin/python3'): Promise<string> {
  const output = join(buildDir, 'packages');
  const args = [join(SOURCE_DIR, 'build.py'), join(SOURCE_DIR, 'samples'), output];
  await promisify(execFile)(python, args, { timeout: 300_000, maxBuffer: 1 << 24 });
  return output;
}
