/** Flags that several commands share. */
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { FlagSpec } from '../flags';

export const DEFAULT_IMAGE = 'ol-wasm';

/**
 * The images that the original builds locally and that its boss names. No registry has these images. They contain
 * little more than a Python, so here they select the host's own /usr.
 */
export const STOCK_IMAGES: readonly string[] = ['', DEFAULT_IMAGE, 'ol-min'];

export const PATH_FLAG: FlagSpec = {
  name: 'path',
  aliases: ['p'],
  kind: 'string',
  value: 'default-ol',
  usage: 'directory of the worker',
};

export const IMAGE_FLAG: FlagSpec = {
  name: 'image',
  aliases: ['i'],
  kind: 'string',
  value: DEFAULT_IMAGE,
  usage: "base of sandboxes: a directory, a root filesystem tar or a Docker image; by default the host's own /usr",
};

/**
 * The absolute path of a worker's directory. Links are resolved, since the helper does not follow any. Parts that do
 * not exist yet stay unchanged.
 */
export function olDirOf(cwd: string, path: string): string {
  const absolute = resolve(cwd, path);
  if (existsSync(absolute)) return realpathSync(absolute);
  const parent = dirname(absolute);
  return existsSync(parent) ? join(realpathSync(parent), basename(absolute)) : absolute;
}
