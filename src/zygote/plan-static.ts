/**
 * The plan of `tree` and `multitree`. A zygote of the configured tree is made when a function requires its packages.
 */
import type { Stats } from '../metrics';
import type { LeafSpec } from '../sandbox/types';
import type { Group, ZygoteGroups } from './fleet/groups';
import { ROOT, type TreePlanner } from './plan-tree';
import type { PackagePin } from './policy/types';
import type { ZygotePlan } from './zygote-plan';

/** POLICY: a zygote keeps spares until its last start is this old, in ms. */
const HOT_MS = 60_000;

export interface StaticPlanOptions {
  groups: ZygoteGroups;
  stats: Stats;
  tree: TreePlanner;
  /** Processes per node; treeReplicas(). */
  replicas: number;
  /** argyle.spares_per_zygote. */
  sparesPerZygote: number;
}

export class StaticPlan implements ZygotePlan {
  constructor(private readonly options: StaticPlanOptions) {}

  start(): void {
    this.options.groups.ensure(ROOT, this.options.replicas);
  }

  stop(): void {
    // There is no timer.
  }

  asked(_leaf: LeafSpec, pins: readonly PackagePin[]): void {
    const { tree, groups, replicas, stats } = this.options;
    tree.plan(pins).then(
      (specs) => {
        for (const spec of specs) groups.ensure(spec, replicas);
      },
      // A node may name a package that cannot be installed. The next cold start calls tree.plan() again.
      () => {
        stats.count('ImportCache.plan-failed');
      },
    );
  }

  measured(): void {
    // A static tree learns nothing.
  }

  used(group: Group): void {
    const { groups, sparesPerZygote } = this.options;
    if (group.spares > 0 || sparesPerZygote === 0) return;
    setImmediate(() => {
      groups.setSpares(group, sparesPerZygote * group.replicas);
    });
  }

  maintain(): void {
    const { groups } = this.options;
    for (const group of groups.list()) {
      const lastMs = Math.max(0, ...group.processes.map(({ lastUsedMs }) => lastUsedMs));
      if (group.spares > 0 && Date.now() - lastMs > HOT_MS) groups.setSpares(group, 0);
    }
  }
}
