/**
 * Limits how much of the host's disk an install may use. An install's files must be on that disk, but its code is
 * untrusted, and directory quotas are not available on every file system. So the worker polls the free space while
 * installs run, and kills an install that uses too much. Free space also covers what a directory walk would miss:
 * directories that only the sandbox can read, and unlinked open files.
 *
 * Free space does not show who wrote to the disk, so writes of other programs count, too.
 */
import { statfs } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { diskFull } from '../../errors';
import { MEGABYTE } from '../../sandbox/slot/limits';

export interface DiskSpace {
  /** Bytes that ordinary users can use. */
  freeBytes: number;
  totalBytes: number;
  /** 0 in both fields when the file system does not count files. */
  freeFiles: number;
  totalFiles: number;
}

/**
 * Poll interval, ms. Between two polls, an install can write about 50 MB to a disk of 1 GB/s. The sandbox's memory can
 * hold further written data.
 */
const LOOK_EVERY_MS = 50;
/** POLICY: this share of the disk always stays free, but at most 1 GB. */
const RESERVE_SHARE = 0.05;
const RESERVE_MAX_BYTES = 1024 * MEGABYTE;
const NEARLY_FULL = 'the disk is nearly full';
/** POLICY: one file per 4 KiB, as in a sandbox's scratch. */
export const FILES_PER_MB = 256;

/** Whether the free space is too small for any install. Pure. */
export function isNearlyFull({ freeBytes, totalBytes }: DiskSpace): boolean {
  return freeBytes < Math.min(RESERVE_SHARE * totalBytes, RESERVE_MAX_BYTES);
}

/**
 * The reason why installs must end; undefined when they may continue. Pure.
 * @param before space when the install began
 * @param maxMb limit per install; 0 for only the reserve
 * @param installs maximum number of installs that ran at once since `before`
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

/** @throws errors of statfs() */
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
   * Runs an install with a signal and the current disk space. The signal aborts when the install uses too much.
   * @throws errors of `install`, or Error with the reason when the install was aborted
   */
  async during<T>(install: (signal: AbortSignal, before: DiskSpace) => Promise<T>): Promise<T> {
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
      return await install(abort.signal, before);
    } catch (error) {
      throw over === undefined ? error : ended(over, error);
    } finally {
      isDone = true;
      this.running--;
    }
  }
}
