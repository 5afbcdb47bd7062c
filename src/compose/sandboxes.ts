/** Puts together what makes sandboxes: helper, slots, memory pool, packages, zygotes. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { installerLimits, type Config, type LimitsConfig } from '../config';
import type { HelperClient } from '../helper/client';
import { HelperSupervisor } from '../helper/supervisor';
import type { DepTrace } from '../lambda/dep-trace';
import type { FunctionPackages, PackageService } from '../lambda/ports';
import type { RootLog } from '../log';
import type { Stats } from '../metrics';
import { PackageInstaller } from '../packages/installer';
import { LockStore } from '../packages/lock-store';
import { PackagePlanner } from '../packages/plan';
import { Resolver } from '../packages/resolver';
import { SandboxFactory } from '../sandbox/factory';
import { InstallerRunner } from '../sandbox/installer';
import { openMemoryDir, removeMemoryDir } from '../sandbox/memory-dir';
import { MemoryPool, type MemoryPoolOptions } from '../sandbox/pool';
import { SlotHome } from '../sandbox/slot-home';
import { SlotPool } from '../sandbox/slots';
import type { LogSink } from '../sandbox/log-tap';
import type { InstallerSandbox, SandboxLimits, SandboxProvider } from '../sandbox/types';
import { assembleZygotes, zygoteLimits, type ZygoteLayer } from '../zygote/assemble';
import { ZygoteMaker } from '../zygote/birth';
import { UNMEASURED } from '../zygote/params';
import { findSetup, helperStarter } from './helper';

/** Longest wait of a request for memory, in ms: below what clients and proxies wait. */
const MEMORY_WAIT_MS = 30_000;
/** In sock mode a client waits until another gives memory back; the longest that a timer can wait, in ms. */
const ENDLESS_MS = 2 ** 31 - 1;

export interface WorkerSandboxes {
  provider: SandboxProvider;
  packages: PackageService;
  /** The same for functions, with what they ask for resolved first. */
  plans: FunctionPackages;
  /** Makes what clients of sock mode ask for one by one: leaves, and their parents. */
  factory: Pick<SandboxFactory, 'fresh' | 'fork'>;
  maker: Pick<ZygoteMaker, 'make'>;
  pool: MemoryPool;
  /** Resolves when what makes the sandboxes, helper or engine, has answered a question that changes nothing. */
  answers: () => Promise<unknown>;
  /** Absent for a kind of sandbox that can't be forked. */
  zygotes?: ZygoteLayer;
  /** Ends every sandbox and whatever ran them. */
  close(): Promise<void>;
}

/** What there is besides when the helper makes them. */
export interface Sandboxes extends WorkerSandboxes {
  factory: SandboxFactory;
  slots: SlotPool;
  zygotes: ZygoteLayer;
  /** For further slots on the same helper. */
  home: SlotHome;
  helper: () => Promise<HelperClient>;
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

/** What the popularity policy has learnt, kept over restarts beside the worker's directory. */
const seedPath = (config: Config, base?: string) =>
  join(dirname(config.worker_dir), base === undefined ? 'popularity.json' : `popularity.${base}.json`);

function restoreSeed(zygotes: ZygoteLayer, config: Config, log: RootLog, base?: string): void {
  if (config.features.import_cache !== 'popularity') return;
  try {
    zygotes.tracker.restore(JSON.parse(readFileSync(seedPath(config, base), 'utf8')), Date.now());
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ENOENT') log.logger.warn({ err }, 'popularity.json is not used');
  }
}

function saveSeed(zygotes: ZygoteLayer, config: Config, base?: string): void {
  if (config.features.import_cache !== 'popularity') return;
  const draft = `${seedPath(config, base)}.new`;
  writeFileSync(draft, JSON.stringify(zygotes.tracker.toSeed(Date.now())));
  renameSync(draft, seedPath(config, base));
}

/**
 * How many installers may hold memory at once.
 * POLICY: they get a share of the pool, so that installs that hang leave the rest to functions; more than two for each
 * processor would only wait for each other.
 */
export function installersAtOnce(config: Config): number {
  const memMb = installerLimits(config).mem_mb;
  const poolMb = (config.mem_pool_mb * config.argyle.install_share_percent) / 100;
  const share = memMb > 0 && config.mem_pool_mb > 0 ? Math.floor(poolMb / memMb) : Infinity;
  return Math.max(1, Math.min(share, 2 * availableParallelism()));
}

/** The package layer over sandboxes that run pip, with its directory cleared of interrupted installs. */
export async function makePackages(
  config: Config,
  sandbox: InstallerSandbox,
  parts: { stats: Stats; depTrace: DepTrace; log: RootLog },
): Promise<{ installed: PackageInstaller; packages: PackageService; plans: FunctionPackages }> {
  const trace = parts.log.tracer('package');
  // POLICY: what a function of this worker asked for stays: old instances may still import it.
  const held = new Set<string>();
  const installed = new PackageInstaller({
    pkgsDir: config.Pkgs_dir,
    sandbox,
    pipMirror: config.pip_mirror,
    indexTimeoutSec: config.argyle.index_timeout_sec,
    tool: config.argyle.installer,
    atOnce: installersAtOnce(config),
    maxMb: config.argyle.packages_max_mb,
    packageMaxMb: config.argyle.package_max_mb,
    inUse: () => held,
    onPull: ({ spec, ms, meta }) => {
      parts.stats.record('pull-package', ms);
      trace.debug({ spec, ms, ok: meta !== undefined }, 'package pulled');
      if (meta !== undefined) parts.depTrace.tracePackage(spec, meta.deps, meta.topLevel);
    },
  });
  await installed.start();
  const packages: PackageService = {
    ensureInstalled: async (text) => {
      const imports = await installed.ensureInstalled(text);
      imports.forEach(({ spec }) => held.add(spec));
      return imports;
    },
  };
  const plans = new PackagePlanner({
    installer: installed,
    resolver: new Resolver(installed),
    locks: new LockStore(config.Pkgs_dir),
    onInstalled: (specs) => {
      specs.forEach((spec) => held.add(spec));
    },
  });
  return { installed, packages, plans };
}

/** Settings of the memory budget that every kind of sandbox has. */
export function poolOptions(config: Config, log: RootLog, stats: Stats): MemoryPoolOptions {
  const evictor = log.tracer('evictor');
  return {
    totalMb: config.mem_pool_mb,
    timeoutMs: config.server_mode === 'sock' ? ENDLESS_MS : MEMORY_WAIT_MS,
    stats,
    onEvict: (victim) => {
      evictor.debug({ victim }, 'evicted');
    },
  };
}

/** Where sandboxes' output goes; undefined unless log_output is set. */
export function sandboxLog(config: Config, log: RootLog): LogSink | undefined {
  const printed = log.part('sandbox');
  if (!config.log_output) return undefined;
  return (source, line) => {
    printed.info({ source }, line);
  };
}

/** What makes leaves on a helper, by the settings; slots.start() makes some ahead. */
export function makeLeaves(
  config: Config,
  { home, helper }: Pick<Sandboxes, 'home' | 'helper'>,
  { pool, stats, log }: { pool: MemoryPool; stats: Stats; log?: LogSink | undefined },
): Pick<Sandboxes, 'slots' | 'factory'> {
  const slots = new SlotPool({
    home,
    helper,
    limits: toSandboxLimits(config.limits),
    ready: config.argyle.ready_slots,
    // In sock mode clients make the zygotes.
    forFresh: config.server_mode !== 'sock' && config.features.import_cache === '',
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

/** What further bases of a worker share with its own. */
interface Shared {
  name: string;
  pool: MemoryPool;
}

/**
 * Starts the helper and everything on it. Throws HELPER_START and the like; nothing is left then.
 * @param base for a further base, whose baseConfig() `config` is
 */
export async function startSandboxes(
  config: Config,
  log: RootLog,
  { stats, depTrace }: { stats: Stats; depTrace: DepTrace },
  base?: Shared,
): Promise<Sandboxes> {
  const setup = findSetup(config);
  const supervisor = new HelperSupervisor({
    start: await helperStarter(setup, config, log, base?.name),
    waitMs: config.argyle.helper_wait_ms,
    onGone: (err) => {
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
  const pool = base?.pool ?? new MemoryPool(poolOptions(config, log, stats));
  // In sock mode clients make the zygotes.
  const sock = config.server_mode === 'sock';
  // In sock mode the client finds them below scratch.
  const socketsOf = base === undefined ? config.worker_dir : `${config.worker_dir}/${base.name}`;
  const socketDir = (sock ? undefined : openMemoryDir(socketsOf)) ?? join(config.worker_dir, 'scratch');
  const home = new SlotHome(setup.argyle, socketDir);
  const { slots, factory } = makeLeaves(config, { home, helper }, { pool, stats, log: sandboxLog(config, log) });
  const runtimeMs = installerLimits(config).runtime_sec * 1000;
  const runner = new InstallerRunner({ slots, pool, helper, limits: installer, timeoutMs: runtimeMs });
  const { installed, packages, plans } = await makePackages(config, runner, { stats, depTrace, log });
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
  });
  restoreSeed(zygotes, config, log, base?.name);
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
    maker: new ZygoteMaker({
      slots,
      pool,
      zygoteLimits: zygoteLimits(limits, installer),
      costOf: () => UNMEASURED,
      onImported: () => undefined,
      onExclude: () => undefined,
    }),
    pool,
    answers: async () => (await helper()).request('DIAG'),
    zygotes,
    close: async () => {
      saveSeed(zygotes, config, base?.name);
      await factory.close('the worker is stopping');
      await zygotes.provider.close();
      await slots.close();
      await supervisor.close();
      removeMemoryDir(socketsOf);
    },
  };
}
