/** Paths of an installation's parts. */
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ArgyleError } from '../errors';

/** The directory that contains dist/: the repository, or the target of `make install`. */
export const HOME = join(__dirname, '..', '..');

const SETUID = 0o4000;

const isFile = (path: string) => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

/** Root can run any helper. Other users need a setuid helper, so a helper that is only built does not work for them. */
const isUsable = (path: string) => process.getuid?.() === 0 || (statSync(path).mode & SETUID) !== 0;

/**
 * Finds the sandbox helper: the file in `argyle.helper`, else the built one, else the one installed beside the worker,
 * else the system's.
 * @throws HELPER_START when there is none
 */
export function findHelper(setting: string, home = HOME): string {
  const places = [
    join(home, 'build/sandbox-helper'),
    join(home, 'sandbox-helper'),
    '/usr/local/libexec/argyle/sandbox-helper',
  ];
  const there = (setting === '' ? places : [setting]).filter(isFile);
  const found = there.find(isUsable) ?? there[0];
  if (found !== undefined) return found;
  const looked = setting === '' ? places.join(', ') : setting;
  throw new ArgyleError('HELPER_START', `the sandbox helper is not at ${looked}: run make build or make install`, {
    field: 'argyle.helper',
    value: setting,
  });
}

/** The directory of the Python files that run inside sandboxes. It is beside the helper. */
export function guestBeside(helper: string): string {
  return join(dirname(helper), 'guest');
}

/** The unprivileged library that connects to the helper. It is beside the helper, too. */
export function libraryBeside(helper: string): string {
  return join(dirname(helper), 'libargyle.so');
}
