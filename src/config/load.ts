/** Reads config.json and template.json. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ArgyleError } from '../errors';
import { checkConfig } from './check';
import { decode, isObject, type Problem } from './decode';
import { show } from './setting';
import { EMPTY_TREE, loadTree } from './tree';
import type { Config, LimitsConfig, ZygoteNode } from './types';

export interface Report {
  /** Undefined when there are problems. */
  config: Config | undefined;
  problems: Problem[];
  warnings: string[];
}

const messageOf = (thrown: unknown) => (isObject(thrown) ? String(thrown['message']) : String(thrown));

/** Parses the JSON file at `path`. @throws CONFIG_INVALID with the path */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as unknown;
  } catch (thrown) {
    throw new ArgyleError('CONFIG_INVALID', `could not read ${path}: ${messageOf(thrown)}`, {
      cause: thrown,
      field: '',
      value: path,
    });
  }
}

/** All problems of a config file's parsed JSON, and the settings when there are none. */
export function examine(json: unknown): Report {
  const { file, problems, warnings } = decode(json);
  if (file === undefined) return { config: undefined, problems, warnings };
  // The original's sandboxes use the base's packages whatever Pkgs_dir is, so files without Pkgs_dir must work.
  if (file.Pkgs_dir === '' && file.sandbox === 'sock') file.Pkgs_dir = join(file.sock_base_path, 'packages');
  problems.push(...checkConfig(file));
  let tree: ZygoteNode = EMPTY_TREE;
  // An unused tree need not be readable: files from the boss have paths of other machines.
  if (file.features.import_cache !== '') {
    try {
      tree = loadTree(file.import_cache_tree);
    } catch (thrown) {
      const message = `import_cache_tree: ${messageOf(thrown)}`;
      problems.push({ field: 'import_cache_tree', value: show(file.import_cache_tree), message });
    }
  }
  return { config: problems.length === 0 ? { ...file, import_cache_tree: tree } : undefined, problems, warnings };
}

/** Loads a worker's settings. @throws CONFIG_INVALID with field and value of the first problem */
export function loadConfig(path: string): { config: Config; warnings: string[] } {
  const { config, problems, warnings } = examine(readJson(path));
  if (config !== undefined) return { config, warnings };
  const { message, field, value } = problems[0] ?? { message: 'malformed', field: '', value: '' };
  throw new ArgyleError('CONFIG_INVALID', message, { field, value });
}

/** Path of template.json in `cwd`, else in its parent; undefined when neither has one. */
export function findTemplate(cwd: string): string | undefined {
  return [cwd, dirname(cwd)].map((dir) => join(dir, 'template.json')).find((path) => existsSync(path));
}

/** The limits of installers. As in the original, a 0 in installer_limits is replaced by the value in limits. */
export function installerLimits(config: Pick<Config, 'limits' | 'installer_limits'>): LimitsConfig {
  const { limits, installer_limits: own } = config;
  return {
    procs: own.procs || limits.procs,
    mem_mb: own.mem_mb || limits.mem_mb,
    cpu_percent: own.cpu_percent || limits.cpu_percent,
    swappiness: own.swappiness || limits.swappiness,
    runtime_sec: own.runtime_sec || limits.runtime_sec,
    scratch_mb: own.scratch_mb || limits.scratch_mb,
  };
}
