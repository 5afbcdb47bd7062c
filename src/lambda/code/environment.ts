/** Environment and entry of a function, from ol.yaml and the files of its archive. */
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { parseEnv } from 'node:util';
import { ArgyleError } from '../../errors';
import { readTopFile } from './intake/archive';

/** Largest accepted .env, in bytes. */
const MAX_ENV_BYTES = 256 * 1024;
/** Maximum number of variables, and of all their characters. Linux accepts 2 MB of arguments and environment. */
const MAX_VARIABLES = 1000;
const MAX_ENV_CHARS = 512 * 1024;
/** Longest variable, in characters. Linux refuses longer ones when a function starts a program. */
const MAX_VARIABLE_CHARS = 100_000;

/**
 * A function's environment.
 * POLICY: the environment of ol.yaml replaces the archive's .env as a whole. The original overwrites the file, so a
 * handler that reads the file finds the environment of ol.yaml there, too.
 * @throws ArgyleError LAMBDA_CODE when the archive's .env is not a regular file or too large
 */
export async function resolveEnv(dir: string, fromYaml: Record<string, string>): Promise<Record<string, string>> {
  if (Object.keys(fromYaml).length === 0) {
    const text = await readTopFile(dir, '.env', MAX_ENV_BYTES);
    return text === undefined ? {} : parsed(text);
  }
  const file = path.join(dir, '.env');
  // The archive's file is removed first. It may be a link, and a write would follow the link.
  await fs.rm(file, { force: true, recursive: true });
  await fs.writeFile(file, formatEnv(fromYaml), { flag: 'wx', mode: 0o644 });
  return { ...fromYaml };
}

/** Checks number, names, sizes and contents of the variables. @throws ArgyleError LAMBDA_CONFIG */
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
  for (const [key, value] of variables) {
    const shown = JSON.stringify(key.slice(0, 100));
    const at = { field: `environment.${key.slice(0, 100)}`, value: JSON.stringify(value.slice(0, 100)) };
    const why = unfit(key) ?? unfit(value);
    if (why !== undefined) {
      const message = `the environment's ${shown}, ${at.value}, ${why}: remove it, or set it encoded, as in base64`;
      throw new ArgyleError('LAMBDA_CONFIG', message, at);
    }
  }
  const chars = variables.reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  if (chars <= MAX_ENV_CHARS) return;
  throw new ArgyleError('LAMBDA_CONFIG', `the environment has ${chars} characters, limit ${MAX_ENV_CHARS}`);
}

/** Returns the reason why a program's environment cannot hold this text; undefined for a valid text. */
function unfit(text: string): string | undefined {
  if (text.includes('\0')) return 'has a NUL character, which no environment takes';
  if (/\p{Surrogate}/u.test(text)) return 'has half of a surrogate pair, which is no character';
  return undefined;
}

/**
 * Checks the names of secrets.
 * @throws ArgyleError LAMBDA_CONFIG for the name of a variable of the environment, and for OL_ENTRY_FILE
 */
export function checkSecretNames(secrets: readonly string[], env: Readonly<Record<string, string>>): void {
  const both = secrets.find((name) => Object.hasOwn(env, name));
  const at = { field: 'secrets' };
  if (both !== undefined) {
    const message = `${both} is in secrets and in the environment: remove it from one of them`;
    throw new ArgyleError('LAMBDA_CONFIG', message, { ...at, value: both });
  }
  if (!secrets.includes('OL_ENTRY_FILE')) return;
  const message = 'OL_ENTRY_FILE cannot be a secret: it names the file that is run';
  throw new ArgyleError('LAMBDA_CONFIG', message, { ...at, value: 'OL_ENTRY_FILE' });
}

/**
 * The text of a .env file that python-dotenv can read. It uses single quotes, in which only `\` and `'` are escaped.
 */
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
 * Finds the file that a sandbox starts: the Python file of OL_ENTRY_FILE (f.py by default), or f.bin.
 * @param shownDir name of the directory in errors
 * @throws ArgyleError LAMBDA_CODE when neither file exists, LAMBDA_CONFIG when OL_ENTRY_FILE is not a top-level *.py
 */
export async function findEntry(dir: string, env: Record<string, string>, shownDir = dir): Promise<Entry> {
  const python = env['OL_ENTRY_FILE'] ?? 'f.py';
  if (!/^[^/\0]+\.py$/.test(python)) {
    const at = { field: 'OL_ENTRY_FILE', value: python };
    throw new ArgyleError('LAMBDA_CONFIG', `OL_ENTRY_FILE must name a top-level *.py file, not "${python}"`, at);
  }
  if (await isFile(path.join(dir, python))) return { runtime: 'python', entryFile: python };
  if (await isFile(path.join(dir, 'f.bin'))) return { runtime: 'native', entryFile: 'f.bin' };
  const message = `cannot determine runtime: no ${python} or f.bin found in ${shownDir}`;
  throw new ArgyleError('LAMBDA_CODE', `${message}${await otherEntry(dir)}`);
}

/** Names of entry files that other tools use. */
const USUAL_ENTRIES = ['app.py', 'main.py', 'wsgi.py', 'asgi.py'];

/** Advice for a directory whose entry file has a usual name; '' without one. */
async function otherEntry(dir: string): Promise<string> {
  for (const name of USUAL_ENTRIES) {
    if (await isFile(path.join(dir, name)))
      return `; to run ${name}, write into ol.yaml: environment: { OL_ENTRY_FILE: ${name} }`;
  }
  return '';
}

async function isFile(file: string): Promise<boolean> {
  // The entry may be a link. archive.ts makes sure that a link stays inside the directory.
  const stat = await fs.stat(file).catch(() => undefined);
  return stat?.isFile() ?? false;
}

/** The variables of a .env file. Names without a value, and values that are no text, are left out. */
function parsed(text: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(parseEnv(text)).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
}
