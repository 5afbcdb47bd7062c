/** Constructs the layers that make sandboxes: helper, slots, memory pool, packages, zygotes. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { installerLimits, type Config, type LimitsConfig } from '../../config';
import type { HelperClient } from '../../helper/client';
import { HelperSupervisor } from '../../helper/supervisor';
import type { DepTrace } from '../../lambda/dep-trace';
import type { FunctionPackages, PackageService } from '../../lambda/ports';
import type { RootLog } from '../../log';
import type { Stats } from '../../metrics';
import type { WorkerMetrics } from '../../metrics/prometheus';
import { SandboxFactory } from '../../sandbox/factory';
import { InstallerRunner } from '../../sandbox/installer';
import { openMemoryDir, removeMemoryDir } from '../../sandbox/slot/memory-dir';
import { MemoryPool, type MemoryPoolOptions } from '../../sandbox/memory/memory-pool';
import type { LogSink } from '../../sandbox/log-tap';
import { SlotHome } from '../../sandbox/slot/slot-home';
import { SlotPool } from '../../sandbox/slot/slot-pool';
import { PackageViews } from '../../sandbox/slot/views';
import type { SandboxLimits, SandboxProvider } from '../../sandbox/types';
import { assembleZygotes, zygoteLimits, type ZygoteLayer } from '../../zygote/assemble';
import { ZygoteMaker } from '../../zygote/fleet/zygote-maker';
import { startQueue, type StartQueue } from '../../zygote/starts/queue';
import { UNMEASURED } from '../../zygote/policy/params';
import { findSetup, helperStarter } from './helper';
import { makePackages } from './packages';
import { SeedStore } from './seed';

/** Longest wait of a request for memory, in ms. It is shorter than the timeouts of clients and proxies. */
const MEMORY_WAIT_MS = 30_000;
/** Stands for no limit, in ms: in sock mode a request for memory waits until another client destroys a sandbox. */
const ENDLESS_MS = 2 ** 31 - 1;

/** The parts that all bases of a worker share. */
export interface SharedParts {
  stats: Stats;
  depTrace: DepTrace;
  printed?: LogSink | undefined;
  metrics?: Pick<WorkerMetrics, 'evicted' | 'helperEnded'> | undefined;
}

export interface WorkerSandboxes {
  provider: SandboxProvider;
  packages: PackageService;
  /** The package layer for functions. It resolves requirements before it installs them. */
  plans: FunctionPackages;
  /** Makes single sandboxes for clients of sock mode: leaves and their parents. */
  factory: Pick<SandboxFactory, 'fresh' | 'fork'>;
  maker: Pick<ZygoteMaker, 'make'>;
  pool: MemoryPool;
  /** Resolves when the helper or the engine has answered a question that changes nothing. */
  answers: () => Promise<unknown>;
  /** Absent for sandboxes that cannot be forked. */
  zygotes?: ZygoteLayer;
  /** Ends every sandbox, then the helper. */
  close(): Promise<void>;
}

/** Further parts of sandboxes that the helper makes. */
export interface Sandboxes extends WorkerSandboxes {
  factory: SandboxFactory;
  slots: SlotPool;
  zygotes: ZygoteLayer;
  /** The queue in which the starts of all bases take turns. */
  starts: StartQueue;
  /** Makes further slots on the same helper. */
  home: SlotHome;
  /** The contents of /packages in sandboxes. */
  views: PackageViews;
  helper: () => Promise<HelperClient>;
  /** Resolves once the most valuable zygotes of an earlier worker are made again, or after this time in ms. */
  warm: (ms: number) => Promise<void>;
  /** Returns free memory of the C heap to the system. */
  trimHeap: () => void;
}

export function toSandboxLimits(limits: LimitsConfig): SandboxLimits {
  return {
    memMb: limits.mem_mb,
    procs: limits.procs,
    cpuPercent: limits.cpu_percent,
    swapBytes: limits.swappiness,
    scratchMb: limits.scratch_mb,
  };
}

/** Settings of the memory budget, for every kind of sandbox. */
export function poolOptions(
  config: Config,
  log: RootLog,
  { stats, metrics }: Pick<SharedParts, 'stats' | 'metrics'>,
): MemoryPoolOptions {
  const evictor = log.tracer('evictor');
  return {
    totalMb: config.mem_pool_mb,
    timeoutMs: config.server_mode === 'sock' ? ENDLESS_MS : MEMORY_WAIT_MS,
    stats,
    onEvict: (victim) => {
      evictor.debug({ victim }, 'evicted');
      metrics?.evicted(victim.action === 'pause' ? 'pause' : (victim.keptAs ?? 'instance'));
    },
  };
}

/** Constructs the slots and the factory of leaves on a helper. slots.start() then makes some slots ahead. */
export function makeLeaves(
  config: Config,
  { home, helper, views }: Pick<Sandboxes, 'home' | 'helper' | 'views'>,
  { pool, stats, log }: { pool: MemoryPool; stats: Stats; log?: LogSink | undefined },
): Pick<Sandboxes, 'slots' | 'factory'> {
  const slots = new SlotPool({
    home,
    helper,
    views,
    limits: toSandboxLimits(config.limits),
    ready: config.argyle.ready_slots,
    // In sock mode, clients make the zygotes.
    prespawn: config.server_mode !== 'sock' && config.features.import_cache === '',
    stats,
    ...(log === undefined ? {} : { log }),
  });
  const factory = new SandboxFactory({
    slots,
    pool,
    stats,
    codeDir: join(config.worker_dir, 'code'),
    downsizePaused: config.features.downsize_paused_mem,
    endThrashing: config.argyle.end_thrashing,
    defaultMemMb: config.limits.mem_mb,
  });
  return { slots, factory };
}

/** The parts of the worker that its further bases share. */
interface Shared {
  name: string;
  pool: MemoryPool;
  starts: StartQueue;
}

/**
 * Starts the helper and constructs all layers on it. A failed start leaves nothing behind.
 * @param base set for a further base; `config` is then the baseConfig() of that base
 * @throws ArgyleError HELPER_* when the helper cannot be started
 */
export async function startSandboxes(
  config: Config,
  log: RootLog,
  { stats, depTrace, printed, metrics }: SharedParts,
  base?: Shared,
): Promise<Sandboxes> {
  const setup = findSetup(config);
  const supervisor = new HelperSupervisor({
    start: await helperStarter(setup, config, log, base?.name),
    waitMs: config.argyle.helper_wait_ms,
    onGone: (err) => {
      metrics?.helperEnded();
      log.logger.error({ err }, 'the sandbox helper ended, and every sandbox with it');
    },
    onFailure: (err) => {
      log.logger.error({ err }, 'the sandbox helper could not be started again');
    },
  });
  const helper = () => supervisor.get();
  await supervisor.start();

  const limits = toSandboxLimits(config.limits);
  const installer = toSandboxLimits(installerLimits(config));
  const pool = base?.pool ?? new MemoryPool(poolOptions(config, log, { stats, metrics }));
  // In sock mode, clients make the zygotes.
  const sock = config.server_mode === 'sock';
  // In sock mode, the client finds the sockets in scratch/.
  const socketsOf = base === undefined ? config.worker_dir : `${config.worker_dir}/${base.name}`;
  const socketDir = (sock ? undefined : openMemoryDir(socketsOf)) ?? join(config.worker_dir, 'scratch');
  const home = new SlotHome(setup.argyle, socketDir);
  const views = new PackageViews(join(config.worker_dir, 'code'));
  const { slots, factory } = makeLeaves(config, { home, helper, views }, { pool, stats, log: printed });
  const runtimeMs = installerLimits(config).runtime_sec * 1000;
  const runner = new InstallerRunner({ slots, pool, helper, limits: installer, timeoutMs: runtimeMs });
  const { installed, packages, plans } = await makePackages(config, runner, {
    stats,
    depTrace,
    log,
    views,
    onDeployed: (found) => {
      if (config.argyle.upload_zygotes) zygotes.provider.deployed(found);
    },
  });
  const starts = base?.starts ?? startQueue(availableParallelism());
  const zygotes = assembleZygotes({
    mode: sock ? '' : config.features.import_cache,
    tree: config.import_cache_tree,
    slots,
    pool,
    factory,
    stats,
    packages: installed,
    leafLimits: limits,
    installerLimits: installer,
    sparesPerZygote: config.argyle.spares_per_zygote,
    cpus: availableParallelism(),
    starts,
  });
  const seed = new SeedStore({ zygotes, packages: installed, config, log, base: base?.name });
  seed.start();
  slots.start();
  zygotes.provider.start();
  return {
    provider: zygotes.provider,
    packages,
    plans,
    factory,
    slots,
    home,
    helper,
    views,
    maker: new ZygoteMaker({
      slots,
      pool,
      zygoteLimits: zygoteLimits(limits, installer),
      costOf: () => UNMEASURED,
      onImported: () => undefined,
      onExclude: () => undefined,
    }),
    pool,
    warm: (ms) => seed.warm(ms),
    answers: async () => (await helper()).request('DIAG'),
    trimHeap: () => {
      setup.argyle.trimHeap();
    },
    zygotes,
    starts,
    close: async () => {
      await seed.close();
      await factory.close('the worker is stopping');
      await zygotes.provider.close();
      await slots.close();
      await supervisor.close();
      removeMemoryDir(socketsOf);
    },
  };
}
