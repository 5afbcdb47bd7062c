/** The Pythons of a worker: the names that `runtime` in ol.yaml accepts, and the settings of each. */
import { readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { homeOf } from './places';
import type { Config } from './types';

/** Names of bases. They become parts of paths and of cgroup names. */
export const BASE_NAME = /^[a-z][a-z0-9._-]{0,31}$/;

/** The newest Python in `usr/bin` of a root directory, e.g. `3.13`; undefined when there is none. */
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

/** The name of sock_base_path's Python, e.g. `python3.11`. A base without its own /usr has the host's Python. */
export function ownRuntime(config: Pick<Config, 'sock_base_path'>): string {
  return `python${pythonIn(config.sock_base_path) ?? pythonIn('/') ?? '3'}`;
}

/** All names that `runtime` accepts. */
export function runtimeNames(config: Config): string[] {
  return [...new Set([ownRuntime(config), ...Object.keys(config.argyle.bases)])];
}

/**
 * Root directory of a base; for a tar file, the directory that `ol worker up` unpacks it to. Undefined for an unknown
 * name.
 */
export function baseRoot(config: Pick<Config, 'worker_dir' | 'home' | 'argyle'>, name: string): string | undefined {
  const named = config.argyle.bases[name];
  return named !== undefined && isTar(named) ? join(basesDir(config), name) : named;
}

/** Whether a base's setting is a tar file; otherwise it is a root directory. */
export function isTar(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** The settings for sandboxes of one base: its root directory, and its own packages directory. */
export function baseConfig(config: Config, name: string): Config | undefined {
  const dir = baseRoot(config, name);
  // `packages` is a mount point, so every base contains this directory. A root of helper.conf that contains the base
  // therefore contains the directory, too.
  return dir === undefined ? undefined : { ...config, sock_base_path: dir, Pkgs_dir: join(dir, 'packages') };
}

/** Directory of `ol worker base add`. */
export function basesDir(config: Pick<Config, 'worker_dir' | 'home'>): string {
  return join(dirname(homeOf(config)), 'bases');
}
