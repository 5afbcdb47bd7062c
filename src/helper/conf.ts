/**
 * Reads helper.conf for the worker: the absolute directories that the helper accepts, and their root indexes. The
 * helper reads the same file and trusts only its own copy. The worker uses the file only to convert paths to pairs of
 * root index and name.
 */
import { readFileSync } from 'node:fs';
import { isAbsolute, normalize, relative, sep } from 'node:path';
import { ArgyleError } from '../errors';

export interface HelperConf {
  /** Absolute directories, in the order of their `root` lines. */
  roots: string[];
  /** Host ids of sandboxes, for users and for groups. */
  ids: IdRange;
}

export interface IdRange {
  first: number;
  count: number;
}

/** A directory in the protocol's form. */
export interface RootedPath {
  index: number;
  /** Path relative to the root; '.' is the root itself. */
  path: string;
}

/**
 * Parses the lines `root` and `sandbox_uids`. The helper checks these values, and all other keys.
 *
 * @throws ArgyleError CONFIG_INVALID for a relative root, no root, or no sandbox_uids
 */
export function parseHelperConf(text: string, file: string): HelperConf {
  const roots: string[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*root\s+(\S.*?)\s*$/.exec(line);
    if (match?.[1] === undefined) continue;
    if (!isAbsolute(match[1])) {
      throw new ArgyleError('CONFIG_INVALID', `${file}: root "${match[1]}" is not an absolute path`, {
        field: 'root',
        value: match[1],
      });
    }
    roots.push(normalize(match[1]));
  }
  if (roots.length === 0) throw new ArgyleError('CONFIG_INVALID', `${file}: no root line`, { field: 'root' });
  const ids = /^\s*sandbox_uids\s+(\d+)\s+(\d+)\s*$/m.exec(text);
  if (ids === null) {
    const why = 'no line "sandbox_uids FIRST COUNT", which stands in place of sandbox_uid and sandbox_gid';
    throw new ArgyleError('CONFIG_INVALID', `${file}: ${why}; see configs/helper.conf`, { field: 'sandbox_uids' });
  }
  return { roots, ids: { first: Number(ids[1]), count: Number(ids[2]) } };
}

/** Files with account ids: path, index of the id's field, and index of the field with the count, if any. */
const ACCOUNTS = [
  { file: '/etc/passwd', first: 2 },
  { file: '/etc/group', first: 2 },
  { file: '/etc/subuid', first: 1, count: 2 },
  { file: '/etc/subgid', first: 1, count: 2 },
];

/**
 * Checks that no account of the host and no range of subordinate ids overlaps the sandboxes' ids. Pure.
 *
 * @param textOf returns the text of a file, '' when it is missing
 * @throws ArgyleError CONFIG_INVALID that names the account
 */
export function checkIds({ first, count }: IdRange, file: string, textOf: (path: string) => string): void {
  for (const place of ACCOUNTS) {
    for (const line of textOf(place.file).split('\n')) {
      const fields = line.split(':');
      const its = Number(fields[place.first] ?? NaN);
      const end = its + (place.count === undefined ? 1 : Number(fields[place.count]));
      if (!(its < first + count && end > first)) continue;
      const whose = `${place.file} gives ${its} to "${fields[0] ?? ''}"`;
      throw new ArgyleError('CONFIG_INVALID', `${file}: sandbox_uids ${first} ${count} are not free: ${whose}`, {
        field: 'sandbox_uids',
        value: String(first),
      });
    }
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Reads, parses and checks the file. @throws ArgyleError HELPER_START when it is unreadable, or the checks' errors */
export function loadHelperConf(file: string): HelperConf {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new ArgyleError('HELPER_START', `cannot read the helper's configuration ${file}`, {
      cause,
      field: 'argyle.helper_conf',
      value: file,
    });
  }
  const conf = parseHelperConf(text, file);
  checkIds(conf.ids, file, readIfThere);
  return conf;
}

/**
 * Finds the root that contains `dir`. The deepest root wins.
 *
 * @param setting name of the setting with `dir`, for the error
 * @throws ArgyleError HELPER_DENIED when no root contains it
 */
export function rootedPath(conf: HelperConf, setting: string, dir: string): RootedPath {
  let best: RootedPath | undefined;
  conf.roots.forEach((root, index) => {
    const path = relative(root, dir);
    if (path === '..' || path.startsWith(`..${sep}`) || isAbsolute(path)) return;
    if (best === undefined || path.length < best.path.length) best = { index, path: path === '' ? '.' : path };
  });
  if (best === undefined) {
    throw new ArgyleError(
      'HELPER_DENIED',
      `${setting} "${dir}" lies below no root of helper.conf (${conf.roots.join(', ')})`,
      {
        field: setting,
        value: dir,
      },
    );
  }
  return best;
}
