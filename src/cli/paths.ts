/** Where the parts of an installation are. */
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ArgyleError } from '../errors';

/** The directory that holds dist/, i.e. the repository or what `make install` made. */
export const HOME = join(__dirname, '..', '..');

const SETUID = 0o4000;

const isFile = (path: string) => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

/** Root may run any helper; for others one that was only built, and is not setuid, is of no use. */
const isUsable = (path: string) => process.getuid?.() === 0 || (statSync(path).mode & SETUID) !== 0;

/**
 * The sandbox helper: the one that `argyle.helper` names, else the built one, else the one installed beside the
 * worker, else the system's. Throws HELPER_START when there is none.
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

/** The Python files that run inside sandboxes; they stand beside the helper. */
export function guestBeside(helper: string): string {
  return join(dirname(helper), 'guest');
}

/** The unprivileged library that talks to the helper; it stands beside it, too. */
export function libraryBeside(helper: string): string {
  return join(dirname(helper), 'libargyle.so');
}
