/** The checks of a worker's readiness, by name. Each check is cheap: it may run every second. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../config';
import { NotReady, type ReadyCheck } from '../../event/readiness';
import type { RegistryStore } from '../../lambda/ports';
import { isNearlyFull, readSpace } from '../../packages/install/disk-watch';
import type { MemoryPool } from '../../sandbox/memory/memory-pool';

export interface ReadyParts {
  config: Pick<Config, 'worker_dir' | 'Pkgs_dir' | 'limits'>;
  /** Resolves when the helper, or the container engine, has answered. */
  answers: () => Promise<unknown>;
  pool: Pick<MemoryPool, 'hasRoom'>;
  store: Pick<RegistryStore, 'check'>;
}

/** One disk block. An empty file can be made even on a full disk. */
const BLOCK = Buffer.alloc(4096);

async function checkDir(dir: string): Promise<void> {
  const file = join(dir, `.ready-${process.pid}`);
  try {
    await writeFile(file, BLOCK, { mode: 0o600 });
  } finally {
    await rm(file, { force: true });
  }
}

/**
 * POLICY: a disk that refuses installs makes the worker not ready, because a function's next call may need an install.
 */
async function checkDisks(dirs: readonly string[]): Promise<void> {
  for (const space of await Promise.all(dirs.map((dir) => readSpace(dir)))) {
    if (isNearlyFull(space)) throw new NotReady('the disk is nearly full');
  }
}

/** The checks of `/readyz`, in the order of its answer. */
export function readyChecks({ config, answers, pool, store }: ReadyParts): ReadyCheck[] {
  const oneMb = Math.max(1, config.limits.mem_mb);
  return [
    { name: 'helper', check: answers },
    {
      name: 'memory',
      check: () =>
        pool.hasRoom(oneMb)
          ? Promise.resolve()
          : Promise.reject(new NotReady('the memory pool has no room for another sandbox')),
    },
    { name: 'registry', check: () => store.check() },
    { name: 'worker_dir', check: () => checkDir(config.worker_dir) },
    { name: 'disk', check: () => checkDisks([config.worker_dir, config.Pkgs_dir]) },
  ];
}
