/**
 * The directory of the slots' listening sockets. The directory is in memory, because making and removing a file on a
 * disk costs 0.3 ms.
 */
import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, rmSync, statfsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The kernel's TMPFS_MAGIC: the type that statfs returns for a file system in memory. */
const TMPFS_MAGIC = 0x01021994;
const MEMORY = '/dev/shm';

const isInMemory = (dir: string): boolean => {
  try {
    return statfsSync(dir).type === TMPFS_MAGIC;
  } catch {
    return false;
  }
};

/** The directory's path, one for each worker directory and user. Undefined when there is no file system in memory. */
export function memoryDirOf(workerDir: string, memory = MEMORY): string | undefined {
  if (!isInMemory(memory)) return undefined;
  const owner = `${process.getuid?.() ?? 0} ${resolve(workerDir)}`;
  return join(memory, `argyle-${createHash('sha256').update(owner).digest('hex').slice(0, 32)}`);
}

/**
 * Makes the directory, empty and accessible to this user only. Removes the files of a killed worker.
 *
 * @returns undefined when the directory cannot be made: everyone may write to /dev/shm, so another user may own the
 *   name
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

/** Removes the directory and its content. */
export function removeMemoryDir(workerDir: string, memory = MEMORY): void {
  const dir = memoryDirOf(workerDir, memory);
  try {
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  } catch {
    // The directory belongs to another user; this worker never used it.
  }
}
