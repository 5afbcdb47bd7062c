/** Computes the zygotes that a function needs from a static tree and the function's pins. */
import type { PackageImport } from '../sandbox/types';
import type { GroupSpec } from './fleet/zygote-maker';
import { setId } from './policy/candidates';
import { lookupTree, pinsOfNode } from './policy/lookup';
import { pinOf, pinsByName } from './policy/match';
import type { FlatNode } from './policy/tree';
import type { CostOf, PackagePin, PinKey } from './policy/types';

/** The part of the package layer that the zygote layer uses; the composition root passes it in. */
export interface ZygotePackages {
  /**
   * Returns the packages that a zygote imports for `specs`, dependencies first. Versions come from `pins` where `pins`
   * contains the package.
   */
  resolveForZygote(specs: readonly string[], pins: readonly string[]): Promise<PackageImport[]>;
  /** Returns the installed version of a spec without a version; undefined when the package is not installed. */
  installedVersion(spec: string): string | undefined;
  /** Returns the names of the packages that an installed package needs; undefined when unknown. */
  dependenciesOf(pin: { readonly spec: string; readonly hashes: readonly string[] }): readonly string[] | undefined;
}

/** The root zygote, which has imported no package and serves all functions. */
export const ROOT: GroupSpec = { id: '', parent: undefined, pins: [], imports: new Map(), path: [] };

/** Limit for remembered plans, one for each set of pins. */
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
   * Returns the groups on the path from the root to the best node for these pins, parents first. A node's dependencies
   * are imported only if the function pins them: a zygote must not contain a package that the function does not
   * require. The path ends above a node with an excluded package.
   */
  plan(pins: readonly PackagePin[]): Promise<GroupSpec[]> {
    // The id includes the spec, because one key may stand for two directories.
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

  /** Discards all plans after a change of their inputs. */
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
      const own = pinsOfNode(node, byName, installed);
      if (own === undefined || own.some(({ key }) => excluded(key))) break;
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

/** Returns the group that imports these packages in addition to its parent's. */
export function below(parent: GroupSpec, imports: ReadonlyMap<PinKey, PackageImport>): GroupSpec {
  const pins = [...parent.pins, ...imports.keys()].sort();
  const path = [...[...imports.values()].map(({ spec }) => spec), ...parent.path];
  return { id: setId(pins), parent: parent.id, pins, imports, path };
}
