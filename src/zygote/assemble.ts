/** Puts the zygote layer's parts together for one of the modes of features.import_cache. */
import type { ImportCache, ZygoteNode } from '../config/types';
import type { Stats } from '../metrics';
import type { SandboxFactory } from '../sandbox/factory';
import type { MemoryPool } from '../sandbox/pool';
import type { SlotPool } from '../sandbox/slots';
import type { SandboxLimits } from '../sandbox/types';
import { ZygoteMaker } from './birth';
import { ZygoteGroups } from './groups';
import { SubmoduleLearner } from './learner';
import { treeReplicas } from './lookup';
import { nameOfKey } from './match';
import { PopularityPlanner } from './plan-popularity';
import { TreePlanner, type ZygotePackages } from './plan-tree';
import { ZygoteProvider } from './provider';
import { ZygoteRenewal } from './renewal';
import { SubmoduleBook } from './submodules';
import { PopularityTracker } from './tracker';
import { flatten } from './tree';

export interface ZygoteLayerOptions {
  /** features.import_cache. */
  mode: ImportCache;
  /** import_cache_tree. */
  tree: ZygoteNode;
  slots: SlotPool;
  pool: MemoryPool;
  factory: SandboxFactory;
  stats: Stats;
  packages: ZygotePackages;
  /** config.limits. */
  leafLimits: SandboxLimits;
  /** config.installer_limits. */
  installerLimits: SandboxLimits;
  sparesPerZygote: number;
  /** CPUs that this process may use. */
  cpus: number;
  tracker?: PopularityTracker;
  /** Told of every zygote that could not be made, for the log. */
  onFailure?: (id: string, error: unknown) => void;
}

export interface ZygoteLayer {
  provider: ZygoteProvider;
  groups: ZygoteGroups;
  tracker: PopularityTracker;
  popularity: PopularityPlanner | undefined;
}

/**
 * POLICY: a zygote holds the imports of many functions, so it may grow to four times a leaf's limit, and to what an
 * installer may use if that is more. It runs no handler, and its forks have their own cgroups, so its processes and
 * CPU share are only bounded against runaway imports.
 */
export function zygoteLimits(leaf: SandboxLimits, installer: SandboxLimits): SandboxLimits {
  const memMb = leaf.memMb === 0 ? 0 : Math.max(4 * leaf.memMb, installer.memMb);
  return { ...leaf, memMb, procs: leaf.procs === 0 ? 0 : Math.max(leaf.procs, 64), cpuPercent: 0 };
}

/** The most that `popularity` may hold of mem_pool_mb, and what it may hold even of a small pool. */
const MAX_SHARE = 0.9;
const LEAST_SHARE = 0.4;
/** Instances for each CPU that find memory to run at once, whatever zygotes hold. */
const RUNNING_PER_CPU = 2;

/**
 * MB that zygotes, replicas and spares may hold under `popularity`. How much of it they do hold is the price's matter
 * (ghosts.ts): memory that instances would make better use of stays with them. Pure.
 *
 * POLICY: a running instance is charged its limit, so the pool must never be so full of zygotes that a few of them
 * have to wait for each other.
 */
export function popularityBudgetMb(totalMb: number, leafMb: number, cpus: number): number {
  const besideRunning = totalMb - leafMb * RUNNING_PER_CPU * cpus;
  return Math.floor(Math.max(totalMb * LEAST_SHARE, Math.min(totalMb * MAX_SHARE, besideRunning)));
}

/** @throws ArgyleError CONFIG_INVALID for a malformed tree. */
export function assembleZygotes(options: ZygoteLayerOptions): ZygoteLayer {
  const { mode, pool, slots, factory, stats, packages } = options;
  const tracker = options.tracker ?? new PopularityTracker();
  const costOf = tracker.costs.of;
  const limits = options.leafLimits;
  const budgetMb = mode === 'popularity' ? popularityBudgetMb(pool.totalMb, limits.memMb, options.cpus) : 0;
  const excluded = (key: string): boolean => tracker.excluded.has(key) || tracker.excluded.has(nameOfKey(key));
  const isTree = mode === 'tree' || mode === 'multitree';
  const tree = isTree ? new TreePlanner({ nodes: flatten(options.tree), packages, costOf, excluded }) : undefined;
  const submodules = new SubmoduleBook();
  const maker = new ZygoteMaker({
    submodules,
    slots,
    pool,
    zygoteLimits: zygoteLimits(options.leafLimits, options.installerLimits),
    costOf,
    onImported: (key, cost) => {
      tracker.imported(key, cost);
    },
    onExclude: (key, reason) => {
      tracker.exclude(key, reason);
      tree?.forget();
    },
  });
  const groups = new ZygoteGroups(
    { pool, factory, stats, packages, leafLimits: options.leafLimits, onFailure: options.onFailure },
    maker,
  );
  const popularity = mode === 'popularity' ? new PopularityPlanner({ tracker, groups, budgetMb }) : undefined;
  const provider = new ZygoteProvider({
    mode,
    factory,
    groups,
    stats,
    packages,
    tracker,
    learner: new SubmoduleLearner(submodules, new ZygoteRenewal(groups, submodules)),
    ...(tree === undefined ? {} : { tree }),
    ...(popularity === undefined ? {} : { popularity }),
    replicas: treeReplicas(mode, options.cpus),
    sparesPerZygote: options.sparesPerZygote,
    budgetMb,
  });
  return { provider, groups, tracker, popularity };
}
