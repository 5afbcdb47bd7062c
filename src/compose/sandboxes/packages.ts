/** Constructs the package layer over sandboxes that run pip. */
import { availableParallelism } from 'node:os';
import { installerLimits, type Config } from '../../config';
import type { DepTrace } from '../../lambda/dep-trace';
import type { FunctionPackages, PackageService } from '../../lambda/ports';
import type { RootLog } from '../../log';
import type { Stats } from '../../metrics';
import { PackageInstaller } from '../../packages/install/installer';
import { LockStore } from '../../packages/requirements/lock-store';
import { PackagePlanner } from '../../packages/plan';
import { Resolver } from '../../packages/resolver';
import type { PackageViews } from '../../sandbox/slot/views';
import type { InstallerSandbox, PackageImport } from '../../sandbox/types';

/**
 * Maximum number of installers that hold memory at the same time.
 * POLICY: installers get a share of the pool, so installs that hang leave the rest to functions. More than two
 * installers per processor would only wait for each other.
 */
export function installersAtOnce(config: Config): number {
  const memMb = installerLimits(config).mem_mb;
  const poolMb = (config.mem_pool_mb * config.argyle.install_share_percent) / 100;
  const share = memMb > 0 && config.mem_pool_mb > 0 ? Math.floor(poolMb / memMb) : Infinity;
  return Math.max(1, Math.min(share, 2 * availableParallelism()));
}

/**
 * Makes the package layer over sandboxes that run pip. It first removes interrupted installs from the packages'
 * directory.
 */
export async function makePackages(
  config: Config,
  sandbox: InstallerSandbox,
  parts: {
    stats: Stats;
    depTrace: DepTrace;
    log: RootLog;
    views: PackageViews;
    /** Called with the installed packages of a function, at its upload or before its first call. */
    onDeployed?: (packages: readonly PackageImport[]) => void;
  },
): Promise<{ installed: PackageInstaller; packages: PackageService; plans: FunctionPackages }> {
  const trace = parts.log.tracer('package');
  // POLICY: packages that a function of this worker asked for are not removed. Old instances may still import them.
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
  parts.views.placeOf = (spec) => installed.placeOf(spec);
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
    onInstalled: (found) => {
      const specs = found.map(({ spec }) => spec);
      specs.forEach((spec) => held.add(spec));
      // The view is made before the first sandbox asks for it. That sandbox reports a failure.
      parts.views.of(specs).catch(() => undefined);
      parts.onDeployed?.(found);
    },
  });
  return { installed, packages, plans };
}
