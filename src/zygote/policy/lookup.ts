/** Chooses the zygote for a cold start from nodes, pins and costs. Pure. */
import type { ImportCache } from '../../config/types';
import { pinFor, pinsByName, servesKeys } from './match';
import type { FlatNode } from './tree';
import type { CostOf, PackagePin, PinKey } from './types';

export interface TreeMatch {
  readonly node: FlatNode;
  /** The function's own pins for all packages on the node's path, ancestors first: the imports of the zygote. */
  readonly imports: readonly PackagePin[];
  /** Import time that the function saves, in ms. */
  readonly savedMs: number;
}

/**
 * Returns the function's pins for a node's packages; undefined when the node does not fit the function.
 * POLICY: the first package is the purpose of a node; the others are its dependencies, as `ol zygote fit` writes them.
 * The function may lack some dependencies, because they change between versions. The zygote does not import these. The
 * import of the first package needs only packages of the function, because the function's requirements are complete.
 */
export function pinsOfNode(
  node: Pick<FlatNode, 'packages'>,
  pins: ReadonlyMap<string, PackagePin>,
  installed?: (spec: string) => string | undefined,
): PackagePin[] | undefined {
  const [first, ...others] = node.packages.map((spec) => pinFor(spec, pins, installed));
  if (first === undefined) return node.packages.length === 0 ? [] : undefined;
  return [first, ...others.filter((pin) => pin !== undefined)];
}

/**
 * Finds the node of a static tree that saves the most import time; the root when no other node fits.
 * POLICY: the best node is used instead of the first one found (contract, section 7). Among equal nodes, the one with
 * fewer imports is used.
 * @param nodes from flatten(), parents first
 * @param pins the function's pins
 * @param installed version behind an unpinned spec, see pinFor()
 */
export function lookupTree(
  nodes: readonly FlatNode[],
  pins: readonly PackagePin[],
  costOf: CostOf,
  installed?: (spec: string) => string | undefined,
): TreeMatch | undefined {
  const byName = pinsByName(pins);
  // Contains only nodes whose parent fits; the subtree of a node that does not fit is skipped.
  const fitting = new Map<string, TreeMatch>();
  let best: TreeMatch | undefined;
  for (const node of nodes) {
    const above = node.parent === undefined ? undefined : fitting.get(node.parent.id);
    if (node.parent !== undefined && above === undefined) continue;
    const own = pinsOfNode(node, byName, installed);
    if (own === undefined) continue;
    const imports = new Map([...(above?.imports ?? []), ...own].map((pin) => [pin.key, pin]));
    let savedMs = 0;
    for (const key of imports.keys()) savedMs += costOf(key).ms;
    const match: TreeMatch = { node, imports: [...imports.values()], savedMs };
    fitting.set(node.id, match);
    if (best === undefined || savedMs > best.savedMs) best = match;
  }
  return best;
}

/**
 * Finds the zygote with concrete pins that saves the most import time.
 * @param zygotes all zygotes that may be forked; the root has no pins and fits every function
 * @param wanted keys of the function's pins
 */
export function lookupPins<T extends { readonly pins: readonly PinKey[] }>(
  zygotes: Iterable<T>,
  wanted: ReadonlySet<PinKey>,
  costOf: CostOf,
): { zygote: T; savedMs: number } | undefined {
  let best: { zygote: T; savedMs: number } | undefined;
  for (const zygote of zygotes) {
    if (!servesKeys(zygote.pins, wanted)) continue;
    let savedMs = 0;
    for (const key of zygote.pins) savedMs += costOf(key).ms;
    if (best === undefined || savedMs > best.savedMs) best = { zygote, savedMs };
    else if (savedMs === best.savedMs && zygote.pins.length < best.zygote.pins.length) best = { zygote, savedMs };
  }
  return best;
}

/**
 * Returns the number of copies of a static tree. `multitree` has 2 copies per CPU, but 6 copies below 3 CPUs and 16
 * copies above 10 CPUs (contract, section 7).
 * @param cpus number of CPUs that this process may use
 */
export function treeReplicas(mode: ImportCache, cpus: number): number {
  if (mode === '') return 0;
  if (mode !== 'multitree') return 1;
  if (cpus < 3) return 6;
  return cpus > 10 ? 16 : 2 * cpus;
}

/**
 * Picks the copy with the fewest forks in flight; among equals the copy with the fewest forks so far, then the first.
 * POLICY: the original picks a random copy; the least loaded copy has the shortest queue.
 */
export function leastLoaded<T extends { readonly inFlight: number; readonly forks: number }>(
  copies: readonly T[],
): T | undefined {
  let best: T | undefined;
  for (const copy of copies) {
    if (best === undefined || copy.inFlight < best.inFlight) best = copy;
    else if (copy.inFlight === best.inFlight && copy.forks < best.forks) best = copy;
  }
  return best;
}
