/** Selects the store for the `registry` setting. */
import * as path from 'node:path';
import { ArgyleError } from '../../errors';
import type { RegistryStore } from '../ports';
import { FileStore } from './file-store';

/** Opens stores of one URL scheme, such as `s3`. Its module is loaded only for a setting with this scheme. */
export type StoreOpener = (url: URL) => Promise<RegistryStore>;

/**
 * Opens the store of `registry` in config.json: `file:///abs/dir`, an absolute path, or a URL whose scheme is in
 * `openers`.
 * @throws ArgyleError CONFIG_INVALID for relative paths and unknown schemes, REGISTRY when the store cannot be used
 */
export async function openStore(
  registry: string,
  openers: Readonly<Record<string, StoreOpener>> = {},
): Promise<RegistryStore> {
  if (path.isAbsolute(registry)) return FileStore.create(path.normalize(registry));
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(registry)?.[1]?.toLowerCase();
  if (scheme === 'file') {
    // Only the scheme is removed. The rest is an unencoded path, in which `%` and `?` are ordinary characters.
    const dir = registry.slice('file://'.length);
    if (!path.isAbsolute(dir)) throw invalid(registry, 'the path must be absolute');
    return FileStore.create(path.normalize(dir));
  }
  if (scheme === undefined) throw invalid(registry, 'must be an absolute path or a URL');
  const opener = openers[scheme];
  if (opener === undefined) throw invalid(registry, `scheme "${scheme}" is not supported`);
  let url: URL;
  try {
    url = new URL(registry);
  } catch {
    throw invalid(registry, 'malformed URL');
  }
  return opener(url);
}

function invalid(value: string, why: string): ArgyleError {
  return new ArgyleError('CONFIG_INVALID', `invalid registry "${value}": ${why}`, { field: 'registry', value });
}
