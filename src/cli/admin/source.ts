/** The source of `ol admin install`: a directory, or a git repository that is cloned to a temporary directory. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { CliError } from '../command';

const run = promisify(execFile);

/** Time limit of a clone, ms. */
const CLONE_MS = 300_000;

export interface Source {
  dir: string;
  /** Name of the lambda, unless -n is given. */
  name: string;
  /** Deletes the clone. */
  dispose(): void;
}

/** Whether the target is a git URL, such as `https://….git` or `git@….git`. Pure. */
export function isGitUrl(target: string): boolean {
  return /^((https?|ssh|file):\/\/|git@)\S+\.git$/.test(target);
}

async function clone(url: string): Promise<Source> {
  const staging = mkdtempSync(join(tmpdir(), 'ol-git-'));
  const dispose = () => {
    rmSync(staging, { recursive: true, force: true });
  };
  const name = basename(url.replace(/:/g, '/'), '.git');
  const dir = join(staging, name);
  try {
    const args = ['clone', '--quiet', '--depth', '1', '--', url, dir];
    await run('git', args, { timeout: CLONE_MS, env: { ...process.env, GIT_TERMINAL_PROMPT: '0' } });
  } catch (thrown) {
    dispose();
    const { stderr, message } = thrown as { stderr?: string; message: string };
    throw new CliError(`could not clone ${url}: ${stderr?.trim() || message}`, { cause: thrown });
  }
  return { dir, name, dispose };
}

/** Opens the source. @throws CliError when the directory does not exist or the clone fails */
export async function openSource(target: string, cwd: string): Promise<Source> {
  if (isGitUrl(target)) return clone(target);
  const dir = resolve(cwd, target);
  if (statSync(dir, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new CliError(`${target} is neither a directory nor the URL of a git repository (https://….git, git@….git)`);
  }
  return { dir, name: basename(dir), dispose: () => undefined };
}
