/** `storage.code`: the storage of function code. */
import { statfsSync } from 'node:fs';
import type { StoreMode } from '../../config/types';
import { ArgyleError } from '../../errors';

/** Types of filesystems in memory, from linux/magic.h. */
const IN_MEMORY: readonly number[] = [0x01021994, 0x858458f6];

/** Whether files in `dir` are kept in memory. `dir` must exist. */
export function liesInMemory(dir: string): boolean {
  return IN_MEMORY.includes(statfsSync(dir).type);
}

/**
 * Checks that function code is stored as `storage.code` says. The worker may not mount file systems. Code in memory
 * therefore needs a directory that is on a tmpfs already.
 * @throws ArgyleError CONFIG_INVALID when it is not
 */
export function checkCodeStorage(mode: StoreMode, workerDir: string): void {
  if (mode !== 'memory' || liesInMemory(workerDir)) return;
  throw new ArgyleError(
    'CONFIG_INVALID',
    `storage.code is "memory", but worker_dir (${workerDir}) is not on a tmpfs: make the worker's directory on one ` +
      '(ol worker init -p /dev/shm/…), or set storage.code to ""',
    { field: 'storage.code', value: mode },
  );
}
