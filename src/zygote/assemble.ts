/** Assembles the zygote layer for one mode of features.import_cache. */
import type { ImportCache, ZygoteNode } from '../config/types';
import type { Stats } from '../metrics';
import type { SandboxFactory } from '../sandbox/factory';
import type { MemoryPool } from '../sandbox/memory/memory-pool';
import type { SlotPool } from '../sandbox/slot/slot-pool';
import type { SandboxLimits } from '../sandbox/types';
import { ZygoteMaker } from './fleet/zygote-maker';
import { ZygoteGroups } from './fleet/groups';
import { ColdStartRecorder } from './learn/cold-start';
import { SubmoduleLearner } from './learn/learner';
import { treeReplicas } from './policy/lookup';
import { PopularityPlanner } from './plan-popularity';
import { StaticPlan } from './plan-static';
import { TreePlanner, type ZygotePackages } from './plan-tree';
import { ZygoteProvider } from './provider';
import { SubmoduleBook } from './policy/submodules';
import { StartProfiles } from './starts/start-profiles';
import { startQueue, type StartQueue } from './starts/queue';
import { PopularityTracker } from './learn/tracker';
import { flatten } from './policy/tree';

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
  /** The queue of starts, when other providers share it; absent means a queue of its own. */
  starts?: StartQueue | undefined;
  tracker?: PopularityTracker;
  /** Called for every zygote that could not be made, for the log. */
  onFailure?: (id: string, error: unknown) => void;
}

export interface ZygoteLayer {
  provider: ZygoteProvider;
  groups: ZygoteGroups;
  tracker: PopularityTracker;
  popularity: PopularityPlanner | undefined;
  submodules: SubmoduleBook;
}

/**
 * POLICY: a zygote holds the imports of many functions. Its memory limit is therefore four times a leaf's limit, or an
 * installer's limit if that is larger. A zygote runs no handler, and its forks have their own cgroups. The limit on its
 * processes only stops runaway imports. Its CPU share is not limited.
 */
export function zygoteLimits(leaf: SandboxLimits, installer: SandboxLimits): SandboxLimits {
  const memMb = leaf.memMb === 0 ? 0 : Math.max(4 * leaf.memMb, installer.memMb);
  return { ...leaf, memMb, procs: leaf.procs === 0 ? 0 : Math.max(leaf.procs, 64), cpuPercent: 0 };
}

/** Largest share of mem_pool_mb for zygotes under `popularity`, and the share that zygotes may always use. */
const MAX_SHARE = 0.9;
const LEAST_SHARE = 0.4;
/** Number of instances per CPU whose memory zygotes never hold. */
const RUNNING_PER_CPU = 2;

/**
 * Computes the budget of zygotes, replicas and spares under `popularity`, in MB. Pure. The price of memory (ghosts.ts)
 * decides which part of the budget is used: memory that saves more for instances stays with instances.
 *
 * POLICY: a running instance is charged its limit. Zygotes leave memory for a few running instances. Otherwise these
 * instances would wait for each other.
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
  const excluded = (key: string): boolean => tracker.packages.isExcluded(key);
  const isTree = mode === 'tree' || mode === 'multitree';
  const tree = isTree ? new TreePlanner({ nodes: flatten(options.tree), packages, costOf, excluded }) : undefined;
  const submodules = new SubmoduleBook();
  const maker = new ZygoteMaker({
    submodules,
    slots,
    pool,
    zygoteLimits: zygoteLimits(options.leafLimits, options.installerLimits),
    costOf,
    requiresOf: tracker.packages.requiresOf,
    onImported: (key, cost) => {
      tracker.imported(key, cost);
    },
    onExclude: (key, reason) => {
      tracker.exclude(key, reason);
      tree?.forget();
    },
  });
  const starts = options.starts ?? startQueue(options.cpus);
  const groups = new ZygoteGroups(
    { pool, factory, stats, packages, leafLimits: limits, onFailure: options.onFailure, starts, costOf },
    maker,
  );
  const popularity = mode === 'popularity' ? new PopularityPlanner({ tracker, groups, budgetMb }) : undefined;
  const replicas = treeReplicas(mode, options.cpus);
  const plan =
    tree === undefined
      ? popularity
      : new StaticPlan({ groups, stats, tree, replicas, sparesPerZygote: options.sparesPerZygote });
  const learner = new SubmoduleLearner(submodules, groups);
  const provider = new ZygoteProvider({
    mode,
    factory,
    groups,
    stats,
    packages,
    costOf,
    starts,
    kinds: new StartProfiles({ groups, tracker, pool, makes: mode === 'popularity' }),
    recorder: new ColdStartRecorder({ tracker, packages, learner, plan }),
    plan,
    budgetMb,
  });
  return { provider, groups, tracker, popularity, submodules };
}
