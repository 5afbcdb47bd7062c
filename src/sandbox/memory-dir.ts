/** Where the listening sockets of slots live: in memory, because a file made and removed on a disk costs 0.3 ms. */
import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, rmSync, statfsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The kernel's TMPFS_MAGIC, which statfs gives as the type of a file system in memory. */
const TMPFS_MAGIC = 0x01021994;
const MEMORY = '/dev/shm';

const isInMemory = (dir: string): boolean => {
  try {
    return statfsSync(dir).type === TMPFS_MAGIC;
  } catch {
    return false;
  }
};

/** The directory's path: one for each worker directory and user. Undefined where there is no file system in memory. */
export function memoryDirOf(workerDir: string, memory = MEMORY): string | undefined {
  if (!isInMemory(memory)) return undefined;
  const owner = `${process.getuid?.() ?? 0} ${resolve(workerDir)}`;
  return join(memory, `argyle-${createHash('sha256').update(owner).digest('hex').slice(0, 32)}`);
}

/**
 * Makes it, empty, and ours alone. What a killed worker left in it goes.
 *
 * @returns undefined when there can be none: everyone may write to /dev/shm, so a stranger may have taken the name
 */
export function openMemoryDir(workerDir: string, memory = MEMORY): string | undefined {
  const dir = memoryDirOf(workerDir, memory);
  if (dir === undefined) return undefined;
  try {
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { mode: 0o700 });
    const made = lstatSync(dir);
    if (!made.isDirectory() || made.uid !== process.getuid?.()) return undefined;
    chmodSync(dir, 0o700);
    return dir;
  } catch {
    return undefined;
  }
}

/** Removes it with all that is in it. */
export function removeMemoryDir(workerDir: string, memory = MEMORY): void {
  const dir = memoryDirOf(workerDir, memory);
  try {
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  } catch {
    // A stranger's: it was never ours.
  }
}
