/** Puts together what makes sandboxes of kind `docker`: an engine, containers, memory pool, packages. */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { findHelper, guestBeside } from '../cli/paths';
import { installerLimits, type Config } from '../config';
import { ArgyleError } from '../errors';
import type { DepTrace } from '../lambda/dep-trace';
import type { RootLog } from '../log';
import type { Stats } from '../metrics';
import { SocketDir, type CellParts } from '../sandbox/docker/cell';
import { Engine } from '../sandbox/docker/engine';
import { DockerFactory } from '../sandbox/docker/factory';
import { DockerInstaller } from '../sandbox/docker/installer';
import { MemoryPool } from '../sandbox/pool';
import { makePackages, poolOptions, sandboxLog, toSandboxLimits, type WorkerSandboxes } from './sandboxes';

/** The engine's names for what `argyle.network` says; its bridge reaches neither this host's loopback nor its ports there. */
const NETWORKS = { outbound: 'bridge', none: 'none', host: 'host' } as const;

/** The engine that DOCKER_HOST names, or the default one. Throws CONFIG_INVALID. */
const findEngine = () => new Engine(process.env['DOCKER_HOST'] ?? '');

/**
 * Checks the engine, removes what a dead worker left there, and makes everything that makes containers.
 * Throws DOCKER_ENGINE when the engine can't be reached, CONFIG_INVALID for an image or runtime that it lacks.
 */
export async function startDockerSandboxes(
  config: Config,
  log: RootLog,
  parts: { stats: Stats; depTrace: DepTrace },
): Promise<WorkerSandboxes> {
  const engine = findEngine();
  await engine.check(config.docker.base_image, config.docker.runtime);
  const left = await engine.removeLeftovers(config.worker_dir);
  if (left > 0) log.logger.warn({ containers: left }, 'removed what an earlier worker left in the Docker engine');

  const { stats } = parts;
  const sockets = new SocketDir(join(config.worker_dir, 'scratch'));
  const cells: CellParts = {
    engine,
    settings: {
      image: config.docker.base_image,
      runtime: config.docker.runtime,
      workerDir: config.worker_dir,
      guestDir: realpathSync(guestBeside(findHelper(config.argyle.helper))),
      packagesDir: config.Pkgs_dir,
    },
    sockets,
    log: sandboxLog(config, log),
  };
  // POLICY: the original bounds only SOCK sandboxes' memory; without a budget here there is none either.
  const pool = new MemoryPool({ ...poolOptions(config, log, stats), totalMb: config.mem_pool_mb || Infinity });
  const network = NETWORKS[config.argyle.network];
  const factory = new DockerFactory({
    cells,
    pool,
    stats,
    codeDir: join(config.worker_dir, 'code'),
    network,
    downsizePaused: config.features.downsize_paused_mem,
    defaultMemMb: config.limits.mem_mb,
  });
  const limits = toSandboxLimits(installerLimits(config));
  const installer = new DockerInstaller({
    cells,
    pool,
    limits,
    timeoutMs: installerLimits(config).runtime_sec * 1000,
    packagesDir: config.Pkgs_dir,
    // As with the helper: what pip needs is not there without a network.
    network: network === NETWORKS.none ? NETWORKS.outbound : network,
  });
  const { packages, plans } = await makePackages(config, installer, { ...parts, log });
  return {
    provider: factory,
    packages,
    plans,
    factory,
    maker: {
      make: () => Promise.reject(new ArgyleError('ZYGOTE_FAILED', 'docker sandboxes cannot be parents')),
    },
    pool,
    answers: () => engine.call('answer', (docker) => docker.ping()),
    close: async () => {
      await factory.close('the worker is stopping');
      sockets.close();
    },
  };
}

/** Removes the containers that a killed worker left. Throws DOCKER_ENGINE. */
export async function removeContainers(config: Config): Promise<void> {
  await findEngine().removeLeftovers(config.worker_dir);
}
