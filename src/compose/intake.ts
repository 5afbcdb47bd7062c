/** What examines archives, by the settings. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config';
import { ARCHIVE_LIMITS } from '../lambda/intake/archive';
import { Intake } from '../lambda/intake/intake';
import { limitCaps } from '../lambda/intake/limits';

/**
 * @param memPoolMb the memory that sandboxes share; Infinity where nothing bounds it
 * @param runtimes what `runtime` in ol.yaml may say
 */
export function makeIntake({ argyle, worker_dir: workerDir }: Config, memPoolMb: number, runtimes: string[]): Intake {
  const caps = limitCaps({ maxLimits: argyle.max_limits, memPoolMb, cpus: availableParallelism() });
  return new Intake({
    stagingDir: join(workerDir, 'code'),
    rules: {
      runtimes,
      archive: { ...ARCHIVE_LIMITS, maxBytes: argyle.max_code_mb * 2 ** 20 },
      caps,
      resolve: argyle.resolve,
    },
    timeoutSec: argyle.unpack_sec,
  });
}
