/** Makes the intake, which examines archives, from the settings. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config';
import { ARCHIVE_LIMITS } from '../lambda/code/intake/archive';
import { Intake } from '../lambda/code/intake/intake';
import { limitCaps } from '../lambda/code/intake/limits';

/**
 * Makes the intake.
 * @param memPoolMb memory that sandboxes share, in MB; Infinity without a bound
 * @param runtimes accepted values of `runtime` in ol.yaml
 */
export function makeIntake({ argyle, worker_dir: workerDir }: Config, memPoolMb: number, runtimes: string[]): Intake {
  const caps = limitCaps({ maxLimits: argyle.max_limits, memPoolMb, cpus: availableParallelism() });
  return new Intake({
    stagingDir: join(workerDir, 'code'),
    rules: {
      runtimes,
      archive: { ...ARCHIVE_LIMITS, maxBytes: argyle.max_code_mb * 2 ** 20 },
      caps,
      maxInstances: argyle.max_instances,
      resolve: argyle.resolve,
    },
    timeoutSec: argyle.unpack_sec,
  });
}
