/** The settings in a form that is safe to show: without secrets. Pure. */
import { dirname } from 'node:path';
import { z } from 'zod';
import { isObject } from './decode';
import { defaultConfig } from './defaults';
import { schema } from './schema';
import { metaOf } from './setting';
import type { Config } from './types';

/** Replaces a secret. */
export const HIDDEN = '(hidden)';

export interface ShownSetting {
  /** Key in config.json, with dots between groups. */
  key: string;
  /** JSON of the value; a string has no quotes. */
  value: string;
  /** Whether `ol worker init` would write this value for this worker's directory. */
  isDefault: boolean;
}

/** Names of URL parameters that may contain a secret. */
const TELLING = /key|secret|token|pass|pwd|sig|cred|auth/i;

/**
 * Removes user and password of a URL in a text, and URL parameters whose names suggest secrets. POLICY: the rest of a
 * URL stays, since it shows where packages, functions and spans go.
 */
export function withoutCredentials(text: string): string {
  return text
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^/?#\s]*@/gi, `$1${HIDDEN}@`)
    .replace(/([?&;])([^=&;?#\s]+)=[^&;#\s]*/g, (all, mark: string, name: string) =>
      TELLING.test(name) ? `${mark}${name}=${HIDDEN}` : all,
    );
}

function shown(value: unknown): string {
  if (typeof value === 'string') return withoutCredentials(value);
  return withoutCredentials(JSON.stringify(value));
}

/** Number of zygotes in a tree. */
function nodes(tree: Config['import_cache_tree']): number {
  return tree.children.reduce((sum, child) => sum + nodes(child), 1);
}

function settingsOf(group: z.ZodObject, values: unknown, defaults: unknown, path: string): ShownSetting[] {
  return Object.entries(group.shape as Record<string, z.ZodType>).flatMap(([name, type]) => {
    const key = path + name;
    const [value, usual] = [values, defaults].map((from) => (isObject(from) ? from[name] : undefined));
    if (type instanceof z.ZodObject) return settingsOf(type, value, usual, `${key}.`);
    const isDefault = JSON.stringify(value) === JSON.stringify(usual);
    if (metaOf(type).secret === true) return [{ key, value: value === '' ? '' : HIDDEN, isDefault }];
    return [{ key, value: shown(value), isDefault }];
  });
}

/**
 * All settings in the order of docs/config.md.
 * @param totalMb memory of the machine in MB, for the default of `mem_pool_mb`
 */
export function shownConfig(config: Config, totalMb: number): ShownSetting[] {
  const { sandbox_config: ignored, import_cache_tree: tree, ...rest } = config;
  const shownTree = { import_cache_tree: `a tree of ${nodes(tree)} zygotes` };
  const values = {
    ...rest,
    // No part of the worker reads it, so its contents are unknown and may be secret.
    sandbox_config: Object.keys(ignored).length === 0 ? {} : HIDDEN,
    ...shownTree,
  };
  const usual = { ...defaultConfig(dirname(config.worker_dir), totalMb), ...shownTree };
  return settingsOf(schema, values, usual, '');
}
