/** Mounts below a directory: this worker makes none on the host, but the original, whose directories it takes over, does. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { CliError } from '../command';

const run = promisify(execFile);

/** Mount points at or below `dir` in the text of /proc/self/mountinfo, deepest and latest first. Pure. */
export function mountsBelow(mountinfo: string, dir: string): string[] {
  return mountinfo
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((path) => path.replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(parseInt(octal, 8))))
    .filter((path) => path === dir || path.startsWith(`${dir}/`))
    .reverse();
}

/** Unmounts everything below `dir`, so that deleting it can't reach into other trees. Throws CliError when it can't. */
export async function releaseMounts(dir: string): Promise<void> {
  const mounts = () => mountsBelow(readFileSync('/proc/self/mountinfo', 'utf8'), dir);
  for (const path of mounts()) {
    // Lazily: the original's mounts are stacked and a busy one must not block the others.
    await run('umount', ['-l', '--', path]).catch(() => undefined);
  }
  const [left] = mounts();
  if (left !== undefined) throw new CliError(`${left} is still mounted; unmount it as root first`);
}
