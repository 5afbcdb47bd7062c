/** The environment and the entry of a function, out of ol.yaml and the files of its archive. */
import { parse } from 'dotenv';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { ArgyleError } from '../errors';
import { readTopFile } from './intake/archive';

/** Largest accepted .env in bytes. */
const MAX_ENV_BYTES = 256 * 1024;
/** Most variables, and their size together in characters: Linux takes 2 MB for arguments and environment. */
const MAX_VARIABLES = 1000;
const MAX_ENV_CHARS = 512 * 1024;
/** Longest variable: Linux refuses longer ones to programs that a function starts. */
const MAX_VARIABLE_CHARS = 100_000;

/**
 * A function's environment. POLICY: ol.yaml's replaces the archive's own .env as a whole, as in the original, which
 * overwrites the file; a handler that reads the file finds ol.yaml's too.
 * @throws ArgyleError LAMBDA_CODE when the archive's .env is not a regular file or too large
 */
export async function resolveEnv(dir: string, fromYaml: Record<string, string>): Promise<Record<string, string>> {
  if (Object.keys(fromYaml).length === 0) {
    const text = await readTopFile(dir, '.env', MAX_ENV_BYTES);
    return text === undefined ? {} : parse(text);
  }
  const file = path.join(dir, '.env');
  // Removed first and made anew: whatever the archive put there, a link perhaps, is never written through.
  await fs.rm(file, { force: true, recursive: true });
  await fs.writeFile(file, formatEnv(fromYaml), { flag: 'wx', mode: 0o644 });
  return { ...fromYaml };
}

/** @throws ArgyleError LAMBDA_CONFIG for an environment that no sandbox should be given */
export function checkEnv(env: Readonly<Record<string, string>>): void {
  const variables = Object.entries(env);
  if (variables.length > MAX_VARIABLES) {
    throw new ArgyleError('LAMBDA_CONFIG', `the environment has ${variables.length} variables, limit ${MAX_VARIABLES}`);
  }
  const long = variables.find(([key, value]) => key.length + value.length > MAX_VARIABLE_CHARS);
  if (long !== undefined) {
    const field = `environment.${long[0].slice(0, 100)}`;
    throw new ArgyleError('LAMBDA_CONFIG', `${field} has more than ${MAX_VARIABLE_CHARS} characters`, { field });
  }
  const chars = variables.reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  if (chars <= MAX_ENV_CHARS) return;
  throw new ArgyleError('LAMBDA_CONFIG', `the environment has ${chars} characters, limit ${MAX_ENV_CHARS}`);
}

/** Text that python-dotenv reads back: single quotes, in which only `\` and `'` are escaped. */
function formatEnv(env: Record<string, string>): string {
  return Object.entries(env)
    .map(([key, value]) => `${key}='${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'\n`)
    .join('');
}

export interface Entry {
  runtime: 'python' | 'native';
  entryFile: string;
}

/**
 * Finds what a sandbox starts: the Python file that OL_ENTRY_FILE names (f.py by default), or f.bin.
 * @param shownDir what errors call the directory
 * @throws ArgyleError LAMBDA_CODE when there is neither, LAMBDA_CONFIG when OL_ENTRY_FILE is not a top-level *.py
 */
export async function findEntry(dir: string, env: Record<string, string>, shownDir = dir): Promise<Entry> {
  const python = env['OL_ENTRY_FILE'] ?? 'f.py';
  if (!/^[^/\0]+\.py$/.test(python)) {
    const at = { field: 'OL_ENTRY_FILE', value: python };
    throw new ArgyleError('LAMBDA_CONFIG', `OL_ENTRY_FILE must name a top-level *.py file, not "${python}"`, at);
  }
  if (await isFile(path.join(dir, python))) return { runtime: 'python', entryFile: python };
  if (await isFile(path.join(dir, 'f.bin'))) return { runtime: 'native', entryFile: 'f.bin' };
  throw new ArgyleError('LAMBDA_CODE', `cannot determine runtime: no ${python} or f.bin found in ${shownDir}`);
}

async function isFile(file: string): Promise<boolean> {
  // A link is accepted as the entry: it stays inside the directory, see archive.ts.
  const stat = await fs.stat(file).catch(() => undefined);
  return stat?.isFile() ?? false;
}
