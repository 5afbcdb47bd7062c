/** Turns a static tree and a function's pins into the zygotes that should exist for it. */
import type { PackageImport } from '../sandbox/types';
import type { GroupSpec } from './birth';
import { setId } from './candidates';
import { lookupTree } from './lookup';
import { pinFor, pinOf, pinsByName } from './match';
import type { FlatNode } from './tree';
import type { CostOf, PackagePin, PinKey } from './types';

/** What the zygote layer asks of the package layer; the composition root passes it in. */
export interface ZygotePackages {
  /** The packages that a zygote imports for `specs`, dependencies first and taken from `pins` where those have them. */
  resolveForZygote(specs: readonly string[], pins: readonly string[]): Promise<PackageImport[]>;
  /** The version behind a spec that pins none; undefined when it is not installed. */
  installedVersion(spec: string): string | undefined;
}

/** The zygote that has imported nothing and serves everybody. */
export const ROOT: GroupSpec = { id: '', parent: undefined, pins: [], imports: new Map(), path: [] };

/** Plans that are remembered, one for each set of pins. */
const MEMO = 512;

export interface TreePlannerOptions {
  nodes: readonly FlatNode[];
  packages: ZygotePackages;
  costOf: CostOf;
  excluded: (key: PinKey) => boolean;
}

export class TreePlanner {
  private readonly memo = new Map<string, Promise<GroupSpec[]>>();

  constructor(private readonly options: TreePlannerOptions) {}

  /**
   * The groups on the way from the root to the node that serves these pins best, parents first. A node's dependencies
   * are imported with it as far as the function pins them itself: what it does not ask for must not be in its zygote.
   * The way ends above a node that holds an excluded package.
   */
  plan(pins: readonly PackagePin[]): Promise<GroupSpec[]> {
    // By spec too: the same key may stand for another directory.
    const id = setId(pins.map(({ key, spec }) => `${key} ${spec}`).sort());
    let plan = this.memo.get(id);
    if (plan === undefined) {
      if (this.memo.size >= MEMO) this.memo.clear();
      plan = this.make(pins);
      this.memo.set(id, plan);
      plan.catch(() => this.memo.delete(id));
    }
    return plan;
  }

  /** Forgets plans, because what they were made from has changed. */
  forget(): void {
    this.memo.clear();
  }

  private async make(pins: readonly PackagePin[]): Promise<GroupSpec[]> {
    const { nodes, packages, costOf, excluded } = this.options;
    const installed = (spec: string): string | undefined => packages.installedVersion(spec);
    const way: FlatNode[] = [];
    const match = lookupTree(nodes, pins, costOf, installed);
    for (let node = match?.node; node !== undefined; node = node.parent) way.unshift(node);
    const byName = pinsByName(pins);
    const byKey = new Map([...byName.values()].map((pin) => [pin.key, pin]));
    const groups: GroupSpec[] = [ROOT];
    let above: GroupSpec = ROOT;
    for (const node of way) {
      const own = node.packages.map((spec) => pinFor(spec, byName, installed)).filter((pin) => pin !== undefined);
      if (own.length < node.packages.length || own.some(({ key }) => excluded(key))) break;
      const imports = new Map<PinKey, PackageImport>();
      const closure = await packages.resolveForZygote(
        own.map(({ spec }) => spec),
        pins.map(({ spec }) => spec),
      );
      for (const found of closure) {
        const { key } = pinOf(found.spec, installed(found.spec));
        const wanted = byKey.has(key) && !excluded(key) && !above.pins.includes(key);
        if (wanted) imports.set(key, found);
      }
      if (imports.size === 0) continue;
      above = below(above, imports);
      groups.push(above);
    }
    return groups;
  }
}

/** The group that has imported these packages on top of its parent's. */
export function below(parent: GroupSpec, imports: ReadonlyMap<PinKey, PackageImport>): GroupSpec {
  const pins = [...parent.pins, ...imports.keys()].sort();
  const path = [...[...imports.values()].map(({ spec }) => spec), ...parent.path];
  return { id: setId(pins), parent: parent.id, pins, imports, path };
}
