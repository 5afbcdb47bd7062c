/**
 * helper.conf as the worker sees it: which absolute directories the helper will accept, and by which root index.
 * The helper reads the same file itself and trusts only that; here it just turns paths into (index, name) pairs.
 */
import { readFileSync } from 'node:fs';
import { isAbsolute, normalize, relative, sep } from 'node:path';
import { ArgyleError } from '../errors';

export interface HelperConf {
  /** Absolute directories in the order of their `root` lines. */
  roots: string[];
}

/** A directory as the protocol names it. */
export interface RootedPath {
  index: number;
  /** Relative to that root; '.' is the root itself. */
  path: string;
}

/**
 * Parses the `root` lines; other keys belong to the helper.
 *
 * @throws ArgyleError CONFIG_INVALID when a root is not absolute or when there is none.
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
  return { roots };
}

/** Reads and parses the file. @throws ArgyleError HELPER_START when it cannot be read. */
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
  return parseHelperConf(text, file);
}

/**
 * The root that holds `dir`; the deepest one wins.
 *
 * @param setting name of the setting that `dir` came from, for the error.
 * @throws ArgyleError HELPER_DENIED when no root covers it.
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
