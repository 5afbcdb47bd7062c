/**
 * Unmounts mounts below a directory. This worker makes none on the host. The original does, and Argyle takes over its
 * directories.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { CliError } from '../command';

const run = promisify(execFile);

/** Mount points at or below `dir` in the text of /proc/self/mountinfo, deepest and newest first. Pure. */
export function mountsBelow(mountinfo: string, dir: string): string[] {
  return mountinfo
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((path) => path.replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(parseInt(octal, 8))))
    .filter((path) => path === dir || path.startsWith(`${dir}/`))
    .reverse();
}

/** Unmounts everything below `dir`, so that deleting `dir` cannot reach other trees. @throws CliError on failure */
export async function releaseMounts(dir: string): Promise<void> {
  const mounts = () => mountsBelow(readFileSync('/proc/self/mountinfo', 'utf8'), dir);
  for (const path of mounts()) {
    // Lazy unmount: the original's mounts are stacked, and a busy mount must not block the others.
    await run('umount', ['-l', '--', path]).catch(() => undefined);
  }
  const [left] = mounts();
  if (left !== undefined) throw new CliError(`${left} is still mounted; unmount it as root first`);
}
