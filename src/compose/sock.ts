/** Puts together what server_mode "sock" has in place of functions. */
import { join } from 'node:path';
import { installerLimits, type Config } from '../config';
import { CodeDirs } from '../lambda/code-dirs';
import { SockSandboxes } from '../lambda/sock-sandboxes';
import type { RootLog } from '../log';
import { ZygoteMaker } from '../zygote/birth';
import { zygoteLimits } from '../zygote/assemble';
import { UNMEASURED } from '../zygote/params';
import { toSandboxLimits, type Sandboxes } from './sandboxes';

export function sockSandboxes(config: Config, log: RootLog, sandboxes: Sandboxes): SockSandboxes {
  const limits = toSandboxLimits(config.limits);
  const maker = new ZygoteMaker({
    slots: sandboxes.slots,
    pool: sandboxes.pool,
    zygoteLimits: zygoteLimits(limits, toSandboxLimits(installerLimits(config))),
    costOf: () => UNMEASURED,
    onImported: () => undefined,
    onExclude: () => undefined,
  });
  return new SockSandboxes({
    factory: sandboxes.factory,
    maker,
    packages: sandboxes.packages,
    dirs: new CodeDirs(join(config.worker_dir, 'code'), log.part('sock')),
    scratchDir: join(config.worker_dir, 'scratch'),
    limits,
  });
}
