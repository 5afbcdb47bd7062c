/** Constructs the layers that make sandboxes with `sandbox: "docker"`: engine, containers, memory pool, packages. */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { findHelper, guestBeside } from '../../cli/paths';
import { installerLimits, type Config } from '../../config';
import { ArgyleError } from '../../errors';
import type { RootLog } from '../../log';
import { storeOf } from '../../packages/store/packages-dir';
import { SocketDir, type ContainerParts } from '../../sandbox/docker/container';
import { Engine } from '../../sandbox/docker/engine';
import { DockerFactory } from '../../sandbox/docker/factory';
import { DockerInstaller } from '../../sandbox/docker/installer';
import { MemoryPool } from '../../sandbox/memory/memory-pool';
import { PackageViews } from '../../sandbox/slot/views';
import { makePackages } from './packages';
import { poolOptions, toSandboxLimits, type SharedParts, type WorkerSandboxes } from './sandboxes';

/**
 * The engine's network for each value of `argyle.network`. The bridge does not reach this host's loopback or the ports
 * there.
 */
const NETWORKS = { outbound: 'bridge', none: 'none', host: 'host' } as const;

/** The engine of DOCKER_HOST, or the default one. @throws ArgyleError CONFIG_INVALID */
const findEngine = () => new Engine(process.env['DOCKER_HOST'] ?? '');

/**
 * Checks the engine, removes the containers of a dead worker, and constructs the Docker sandboxes.
 * @throws ArgyleError DOCKER_ENGINE when the engine cannot be reached, CONFIG_INVALID when the engine lacks the image
 *   or runtime
 */
export async function startDockerSandboxes(config: Config, log: RootLog, parts: SharedParts): Promise<WorkerSandboxes> {
  const engine = findEngine();
  await engine.check(config.docker.base_image, config.docker.runtime);
  const left = await engine.removeLeftovers(config.worker_dir);
  if (left > 0) log.logger.warn({ containers: left }, 'removed what an earlier worker left in the Docker engine');

  const { stats } = parts;
  const sockets = new SocketDir(join(config.worker_dir, 'scratch'));
  const containerParts: ContainerParts = {
    engine,
    settings: {
      image: config.docker.base_image,
      runtime: config.docker.runtime,
      workerDir: config.worker_dir,
      guestDir: realpathSync(guestBeside(findHelper(config.argyle.helper))),
      storeDir: storeOf(config.Pkgs_dir),
    },
    sockets,
    log: parts.printed,
  };
  // POLICY: the original bounds the memory of SOCK sandboxes only. Without `mem_pool_mb`, Docker sandboxes have no
  // bound.
  const pool = new MemoryPool({ ...poolOptions(config, log, parts), totalMb: config.mem_pool_mb || Infinity });
  const network = NETWORKS[config.argyle.network];
  const codeDir = join(config.worker_dir, 'code');
  const views = new PackageViews(codeDir);
  const factory = new DockerFactory({
    containerParts,
    views,
    pool,
    stats,
    codeDir,
    network,
    downsizePaused: config.features.downsize_paused_mem,
    defaultMemMb: config.limits.mem_mb,
  });
  const limits = toSandboxLimits(installerLimits(config));
  const installer = new DockerInstaller({
    containerParts,
    pool,
    limits,
    timeoutMs: installerLimits(config).runtime_sec * 1000,
    packagesDir: config.Pkgs_dir,
    // pip needs a network even if functions have none. The helper also gives pip a network in this case.
    network: network === NETWORKS.none ? NETWORKS.outbound : network,
  });
  const { packages, plans } = await makePackages(config, installer, { ...parts, log, views });
  return {
    provider: factory,
    packages,
    plans,
    factory,
    maker: {
      make: () => Promise.reject(new ArgyleError('ZYGOTE_FAILED', 'docker sandboxes cannot be parents')),
    },
    pool,
    answers: () => engine.ping(),
    close: async () => {
      await factory.close('the worker is stopping');
      sockets.close();
      await engine.close();
    },
  };
}

/** Removes the containers of a killed worker. @throws ArgyleError DOCKER_ENGINE */
export async function removeContainers(config: Config): Promise<void> {
  const engine = findEngine();
  await engine.removeLeftovers(config.worker_dir);
  await engine.close();
}
