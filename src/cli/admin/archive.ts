/** Packs a lambda's directory for upload. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from 'tar';
import { findEntry } from '../../lambda/code/environment';
import { parseOlYaml } from '../../lambda/code/intake/ol-yaml';
import { LOCK_FILE } from '../../packages/requirements/lock';
import { CliError } from '../command';
import { ignoredIn, type Ignored } from './ignored';
import type { Locked } from './locking';

export interface ArchiveOptions {
  dir: string;
  /** File that becomes ol.yaml; '' for the directory's own ol.yaml. */
  olYaml: string;
  /** File that becomes requirements.txt; '' for the directory's own requirements.txt. */
  requirements: string;
  /** Resolves the folder's requirements. Returns undefined when there are none, or when the user disabled resolving. */
  lock: (dir: string) => Promise<Locked | undefined>;
  /** Checks the entry file in the copy of the directory, before anything is resolved. */
  check: (dir: string, entryFile: string, env: Readonly<Record<string, string>>) => Promise<void>;
  /** Empty directory for copies and the archive; the caller deletes it. */
  staging: string;
}

/** Copies regular files and directories. Refuses all other types, since a link could expose files of this machine. */
function copyTree(from: string, to: string, ignored: Ignored, shown = ''): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const name = join(shown, entry.name);
    if (ignored(name, entry.isDirectory())) continue;
    if (entry.isSymbolicLink()) throw new CliError(`${name} is a symbolic link; lambdas hold regular files only`);
    if (entry.isDirectory()) copyTree(join(from, entry.name), join(to, entry.name), ignored, name);
    else if (entry.isFile()) copyFileSync(join(from, entry.name), join(to, entry.name));
    else throw new CliError(`${name} is no regular file; lambdas hold regular files only`);
  }
}

/**
 * Makes the .tar.gz for the registry. Returns its path and the resolved requirements.
 * @throws CliError for links and special files; LAMBDA_CONFIG for a bad ol.yaml; LAMBDA_CODE without an entry file
 */
export async function packLambda(options: ArchiveOptions): Promise<{ file: string; locked: Locked | undefined }> {
  const { dir, olYaml, requirements, lock, check, staging } = options;
  const tree = join(staging, 'code');
  copyTree(dir, tree, ignoredIn(dir));
  if (olYaml !== '') copyFileSync(olYaml, join(tree, 'ol.yaml'));
  if (requirements !== '') copyFileSync(requirements, join(tree, 'requirements.txt'));
  const yaml = join(tree, 'ol.yaml');
  const env = existsSync(yaml) ? parseOlYaml(readFileSync(yaml, 'utf8')).environment : {};
  const { entryFile } = await findEntry(dir, env);
  await check(tree, entryFile, env);
  const locked = await lock(tree);
  if (locked?.requirements !== undefined) writeFileSync(join(tree, 'requirements.txt'), locked.requirements);
  if (locked?.lock !== undefined) writeFileSync(join(tree, LOCK_FILE), locked.lock);
  const file = join(staging, 'lambda.tar.gz');
  await create({ gzip: true, file, cwd: tree, portable: true }, readdirSync(tree).sort());
  return { file, locked };
}
