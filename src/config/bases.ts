/** The Pythons of a worker: the names that `runtime` in ol.yaml may say, and the settings that each stands for. */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from './types';

/** Names of bases: they become parts of paths and of cgroups' names. */
export const BASE_NAME = /^[a-z][a-z0-9._-]{0,31}$/;

/** The newest Python in `usr/bin` of a root directory, as `3.13`; undefined when there is none. */
export function pythonIn(root: string): string | undefined {
  let names: string[];
  try {
    names = readdirSync(join(root, 'usr/bin'));
  } catch {
    return undefined;
  }
  const minors = names.flatMap((name) => /^python3\.(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  return minors.length === 0 ? undefined : `3.${Math.max(...minors)}`;
}

/** The name of sock_base_path's own Python, such as `python3.11`; a base without a /usr of its own has the host's. */
export function ownRuntime(config: Pick<Config, 'sock_base_path'>): string {
  return `python${pythonIn(config.sock_base_path) ?? pythonIn('/') ?? '3'}`;
}

/** Every name that `runtime` may say. */
export function runtimeNames(config: Config): string[] {
  return [...new Set([ownRuntime(config), ...Object.keys(config.argyle.bases)])];
}

/** The settings for sandboxes of one base: its own root, and packages that no other base sees. */
export function baseConfig(config: Config, name: string): Config | undefined {
  const dir = config.argyle.bases[name];
  // The directory is a mount point of every base, so it lies below a root of helper.conf whenever the base does.
  return dir === undefined ? undefined : { ...config, sock_base_path: dir, Pkgs_dir: join(dir, 'packages') };
}

/** Where `ol worker base add` puts bases. */
export function basesDir(config: Pick<Config, 'worker_dir'>): string {
  return join(dirname(config.worker_dir), 'bases');
}
