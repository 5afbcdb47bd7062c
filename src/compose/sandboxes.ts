/** Puts together what makes sandboxes: helper, slots, memory pool, packages, zygotes. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { installerLimits, type Config, type LimitsConfig } from '../config';
import { HelperSupervisor } from '../helper/supervisor';
import type { DepTrace } from '../lambda/dep-trace';
import type { PackageService } from '../lambda/ports';
import type { RootLog } from '../log';
import type { Stats } from '../metrics';
import { PackageInstaller } from '../packages/installer';
import { SandboxFactory } from '../sandbox/factory';
import { InstallerRunner } from '../sandbox/installer';
import { MemoryPool } from '../sandbox/pool';
import { SlotPool } from '../sandbox/slots';
import type { SandboxLimits, SandboxProvider } from '../sandbox/types';
import { assembleZygotes, type ZygoteLayer } from '../zygote/assemble';
import { findSetup, helperStarter } from './helper';

/** Longest wait of a request for memory, in ms: below what clients and proxies wait. */
const MEMORY_WAIT_MS = 30_000;
/** In sock mode a client waits until another gives memory back; the longest that a timer can wait, in ms. */
const ENDLESS_MS = 2 ** 31 - 1;

export interface Sandboxes {
  provider: SandboxProvider;
  packages: PackageService;
  factory: SandboxFactory;
  slots: SlotPool;
  pool: MemoryPool;
  zygotes: ZygoteLayer;
  /** Ends every sandbox and the helper. */
  close(): Promise<void>;
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
const seedPath = (config: Config) => join(dirname(config.worker_dir), 'popularity.json');

function restoreSeed(zygotes: ZygoteLayer, config: Config, log: RootLog): void {
  if (config.features.import_cache !== 'popularity') return;
  try {
    zygotes.tracker.restore(JSON.parse(readFileSync(seedPath(config), 'utf8')), Date.now());
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ENOENT') log.logger.warn({ err }, 'popularity.json is not used');
  }
}

function saveSeed(zygotes: ZygoteLayer, config: Config): void {
  if (config.features.import_cache !== 'popularity') return;
  const draft = `${seedPath(config)}.new`;
  writeFileSync(draft, JSON.stringify(zygotes.tracker.toSeed(Date.now())));
  renameSync(draft, seedPath(config));
}

function makePackages(
  config: Config,
  sandbox: InstallerRunner,
  parts: { stats: Stats; depTrace: DepTrace; log: RootLog },
  inUse: () => Iterable<string>,
): PackageInstaller {
  const trace = parts.log.tracer('package');
  return new PackageInstaller({
    pkgsDir: config.Pkgs_dir,
    sandbox,
    pipMirror: config.pip_mirror,
    maxMb: config.argyle.packages_max_mb,
    inUse,
    onPull: ({ spec, ms, meta }) => {
      parts.stats.record('pull-package', ms);
      trace.debug({ spec, ms, ok: meta !== undefined }, 'package pulled');
      if (meta !== undefined) parts.depTrace.tracePackage(spec, meta.deps, meta.topLevel);
    },
  });
}

/** Starts the helper and everything on it. Throws HELPER_START and the like; nothing is left then. */
export async function startSandboxes(
  config: Config,
  log: RootLog,
  { stats, depTrace }: { stats: Stats; depTrace: DepTrace },
): Promise<Sandboxes> {
  const setup = findSetup(config);
  const supervisor = new HelperSupervisor({
    start: await helperStarter(setup, config, log),
    onGone: (err) => {
      log.logger.error({ err }, 'the sandbox helper ended, and every sandbox with it');
    },
  });
  const helper = () => supervisor.get();
  await helper();

  const evictor = log.tracer('evictor');
  const limits = toSandboxLimits(config.limits);
  const installer = toSandboxLimits(installerLimits(config));
  const pool = new MemoryPool({
    totalMb: config.mem_pool_mb,
    timeoutMs: config.server_mode === 'sock' ? ENDLESS_MS : MEMORY_WAIT_MS,
    stats,
    onEvict: (victim) => {
      evictor.debug({ victim }, 'evicted');
    },
  });
  const printed = log.part('sandbox');
  const slots = new SlotPool({
    argyle: setup.argyle,
    helper,
    scratchDir: join(config.worker_dir, 'scratch'),
    limits,
    ready: config.argyle.ready_slots,
    stats,
    ...(config.log_output
      ? {
          log: (source: string, line: string) => {
            printed.info({ source }, line);
          },
        }
      : {}),
  });
  const factory = new SandboxFactory({
    slots,
    pool,
    stats,
    codeDir: join(config.worker_dir, 'code'),
    downsizePaused: config.features.downsize_paused_mem,
    defaultMemMb: config.limits.mem_mb,
  });
  const runtimeMs = installerLimits(config).runtime_sec * 1000;
  const runner = new InstallerRunner({ slots, pool, helper, limits: installer, timeoutMs: runtimeMs });
  // POLICY: what a function of this worker asked for stays: old instances may still import it.
  const held = new Set<string>();
  const installed = makePackages(config, runner, { stats, depTrace, log }, () => held);
  await installed.start();
  const packages: PackageService = {
    ensureInstalled: async (text) => {
      const imports = await installed.ensureInstalled(text);
      imports.forEach(({ spec }) => held.add(spec));
      return imports;
    },
  };
  const zygotes = assembleZygotes({
    // In sock mode clients make the zygotes.
    mode: config.server_mode === 'sock' ? '' : config.features.import_cache,
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
  restoreSeed(zygotes, config, log);
  slots.start();
  zygotes.provider.start();
  return {
    provider: zygotes.provider,
    packages,
    factory,
    slots,
    pool,
    zygotes,
    close: async () => {
      saveSeed(zygotes, config);
      await factory.close('the worker is stopping');
      await zygotes.provider.close();
      await slots.close();
      await supervisor.close();
    },
  };
}

/** Starts a helper and ends it at once: it removes the cgroups and processes that a killed one left. */
export async function cleanupLeftovers(config: Config, log: RootLog): Promise<void> {
  // The helper binds these, though no sandbox will use them.
  for (const dir of [join(config.worker_dir, 'code'), config.Pkgs_dir]) mkdirSync(dir, { recursive: true });
  const start = await helperStarter(findSetup(config), config, log);
  await (await start()).close();
}
