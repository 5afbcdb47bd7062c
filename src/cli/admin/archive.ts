/** Packs a lambda's directory for upload. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from 'tar';
import { findEntry } from '../../lambda/code-env';
import { parseOlYaml } from '../../lambda/intake/ol-yaml';
import { LOCK_FILE } from '../../packages/lock';
import { CliError } from '../command';
import type { Locked } from './locking';

export interface ArchiveOptions {
  dir: string;
  /** File that becomes ol.yaml, '' for the directory's own. */
  olYaml: string;
  /** File that becomes requirements.txt, '' for the directory's own. */
  requirements: string;
  /** Resolves the folder's requirements; undefined where there are none, or none are to be resolved. */
  lock: (dir: string) => Promise<Locked | undefined>;
  /** Empty directory for copies and the archive; the caller deletes it. */
  staging: string;
}

/** Not part of a lambda's code. */
const SKIPPED = new Set(['.git']);

/** Copies regular files and directories; anything else is refused, as a link could show files of this machine. */
function copyTree(from: string, to: string, shown = ''): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (SKIPPED.has(entry.name)) continue;
    const name = join(shown, entry.name);
    if (entry.isSymbolicLink()) throw new CliError(`${name} is a symbolic link; lambdas hold regular files only`);
    if (entry.isDirectory()) copyTree(join(from, entry.name), join(to, entry.name), name);
    else if (entry.isFile()) copyFileSync(join(from, entry.name), join(to, entry.name));
    else throw new CliError(`${name} is no regular file; lambdas hold regular files only`);
  }
}

/**
 * Makes the .tar.gz that the registry takes, and returns its path and what the requirements were resolved to.
 * Throws CliError for links and special files, LAMBDA_CONFIG for a bad ol.yaml, LAMBDA_CODE without an entry file.
 */
export async function packLambda(options: ArchiveOptions): Promise<{ file: string; locked: Locked | undefined }> {
  const { dir, olYaml, requirements, lock, staging } = options;
  const tree = join(staging, 'code');
  copyTree(dir, tree);
  if (olYaml !== '') copyFileSync(olYaml, join(tree, 'ol.yaml'));
  if (requirements !== '') copyFileSync(requirements, join(tree, 'requirements.txt'));
  const yaml = join(tree, 'ol.yaml');
  await findEntry(dir, existsSync(yaml) ? parseOlYaml(readFileSync(yaml, 'utf8')).environment : {});
  const locked = await lock(tree);
  if (locked?.requirements !== undefined) writeFileSync(join(tree, 'requirements.txt'), locked.requirements);
  if (locked?.lock !== undefined) writeFileSync(join(tree, LOCK_FILE), locked.lock);
  const file = join(staging, 'lambda.tar.gz');
  await create({ gzip: true, file, cwd: tree, portable: true }, readdirSync(tree).sort());
  return { file, locked };
}
