/**
 * Bounds what an install takes of the host's disk. Its files must lie there, but what it runs is not trusted, and no
 * file system that can be relied on everywhere has a quota for a directory. So the free space is looked at while
 * installs run, and one that takes too much is killed. That also counts what a walk over the files would not see:
 * directories that only the sandbox may read, and files without a name.
 *
 * What others write on the same disk counts too: free space does not tell whose it was.
 */
import { statfs } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { diskFull } from '../errors';
import { MEGABYTE } from '../sandbox/slot';

export interface DiskSpace {
  /** For ordinary users. */
  freeBytes: number;
  totalBytes: number;
  /** 0 in both where the file system does not count files. */
  freeFiles: number;
  totalFiles: number;
}

/** Between two looks. A disk of 1 GB/s takes some 50 MB in that time, and what the sandbox's memory may hold besides. */
const LOOK_EVERY_MS = 50;
/** POLICY: this much stays free whatever the limit: a twentieth of the disk, but no more than 1 GB. */
const RESERVE_SHARE = 0.05;
const RESERVE_MAX_BYTES = 1024 * MEGABYTE;
const NEARLY_FULL = 'the disk is nearly full';
/** POLICY: a file for each 4 KiB, as in a sandbox's scratch. */
const FILES_PER_MB = 256;

/** Whether so little is free that no install may take more. Pure. */
export function isNearlyFull({ freeBytes, totalBytes }: DiskSpace): boolean {
  return freeBytes < Math.min(RESERVE_SHARE * totalBytes, RESERVE_MAX_BYTES);
}

/**
 * Why installs have to end; undefined while they need not. Pure.
 * @param before when the install began
 * @param maxMb what one may use; 0 for no limit but the reserve
 * @param installs most that ran at once since then
 */
export function overuse(before: DiskSpace, now: DiskSpace, maxMb: number, installs: number): string | undefined {
  if (isNearlyFull(now)) return NEARLY_FULL;
  if (maxMb === 0) return undefined;
  const usedBytes = before.freeBytes - now.freeBytes;
  if (usedBytes > maxMb * MEGABYTE * installs) return `it takes more than ${maxMb} MB of disk`;
  const files = before.freeFiles - now.freeFiles;
  const maxFiles = maxMb * FILES_PER_MB;
  return files > maxFiles * installs ? `it makes more than ${maxFiles} files` : undefined;
}

/** @throws what statfs() throws */
export async function readSpace(dir: string): Promise<DiskSpace> {
  const { bsize, bavail, blocks, ffree, files } = await statfs(dir);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize, freeFiles: ffree, totalFiles: files };
}

function ended(reason: string, cause?: unknown): Error {
  return reason === NEARLY_FULL ? diskFull(reason, cause) : new Error(reason, { cause });
}

export class DiskWatch {
  private running = 0;

  constructor(
    private readonly dir: string,
    private readonly maxMb: number,
    private readonly read: (dir: string) => Promise<DiskSpace> = readSpace,
  ) {}

  /**
   * Runs an install; its signal is aborted when it takes too much.
   * @throws what `install` throws, or Error with the reason once it had to be ended
   */
  async during<T>(install: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    let over: string | undefined;
    let isDone = false;
    let most = ++this.running;
    const judge = (before: DiskSpace, now: DiskSpace): void => {
      most = Math.max(most, this.running);
      over = overuse(before, now, this.maxMb, most);
      if (over !== undefined) abort.abort();
    };
    const watch = async (before: DiskSpace): Promise<void> => {
      while (over === undefined) {
        await setTimeout(LOOK_EVERY_MS, undefined, { ref: false });
        if (isDone) return;
        await this.read(this.dir).then(
          (now) => {
            judge(before, now);
          },
          () => undefined,
        );
      }
    };
    try {
      const before = await this.read(this.dir);
      judge(before, before);
      if (over !== undefined) throw ended(over);
      void watch(before);
      return await install(abort.signal);
    } catch (error) {
      throw over === undefined ? error : ended(over, error);
    } finally {
      isDone = true;
      this.running--;
    }
  }
}
