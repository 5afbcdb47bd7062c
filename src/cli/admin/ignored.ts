/** Decides which files of a function's folder its archive excludes. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ignore from 'ignore';

export const IGNORE_FILE = '.olignore';

/**
 * POLICY: no function needs these, and they can be larger than all of its code. `!name` in .olignore includes them
 * again.
 */
const ALWAYS = ['.git/', '.venv/', '__pycache__/', IGNORE_FILE];

/** @param path relative to the folder */
export type Ignored = (path: string, isDirectory: boolean) => boolean;

/** Reads the folder's .olignore, which has the syntax of .gitignore. */
export function ignoredIn(dir: string): Ignored {
  const file = join(dir, IGNORE_FILE);
  const rules = ignore().add(ALWAYS);
  if (existsSync(file)) rules.add(readFileSync(file, 'utf8'));
  return (path, isDirectory) => rules.ignores(isDirectory ? `${path}/` : path);
}
