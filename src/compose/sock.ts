/** Constructs the sandboxes of server_mode "sock", which replace functions. */
import { join } from 'node:path';
import type { Config } from '../config';
import { CodeDirs } from '../lambda/code/directories';
import type { Intake } from '../lambda/code/intake/intake';
import { SockSandboxes } from '../lambda/sock/sock-sandboxes';
import type { RootLog } from '../log';
import { toSandboxLimits, type WorkerSandboxes } from './sandboxes/sandboxes';

export function sockSandboxes(config: Config, log: RootLog, sandboxes: WorkerSandboxes, intake: Intake): SockSandboxes {
  return new SockSandboxes({
    factory: sandboxes.factory,
    maker: sandboxes.maker,
    packages: sandboxes.packages,
    intake,
    dirs: new CodeDirs(join(config.worker_dir, 'code'), log.part('sock'), intake.remove),
    scratchDir: join(config.worker_dir, 'scratch'),
    limits: toSandboxLimits(config.limits),
  });
}
