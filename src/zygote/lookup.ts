/** Chooses the zygote that serves a cold start. Pure: nodes, pins and costs in, a choice out. */
import type { ImportCache } from '../config/types';
import { pinFor, pinsByName, servesKeys } from './match';
import type { FlatNode } from './tree';
import type { CostOf, PackagePin, PinKey } from './types';

export interface TreeMatch {
  readonly node: FlatNode;
  /** The lambda's own pins for everything on the node's path, ancestors' first: what the zygote has to import. */
  readonly imports: readonly PackagePin[];
  /** Import ms that the lambda does not spend. */
  readonly savedMs: number;
}

/**
 * Finds the node of a static tree that saves a lambda the most import ms; the root when nothing else fits.
 * POLICY: best instead of first found, as the contract's section 7 has it; of equals, the one that imports less.
 * @param nodes from flatten(), parents first
 * @param pins what the lambda asks for
 * @param installed version behind an unpinned spec, see pinFor()
 */
export function lookupTree(
  nodes: readonly FlatNode[],
  pins: readonly PackagePin[],
  costOf: CostOf,
  installed?: (spec: string) => string | undefined,
): TreeMatch | undefined {
  const byName = pinsByName(pins);
  // Only nodes whose parent fits are entered here, so a misfit's whole subtree is passed over.
  const fitting = new Map<string, TreeMatch>();
  let best: TreeMatch | undefined;
  for (const node of nodes) {
    const above = node.parent === undefined ? undefined : fitting.get(node.parent.id);
    if (node.parent !== undefined && above === undefined) continue;
    const own = node.packages.map((spec) => pinFor(spec, byName, installed));
    if (!own.every((pin) => pin !== undefined)) continue;
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
 * Finds the zygote with concrete pins that saves the most import ms.
 * @param zygotes all that may be forked; the root has no pins and fits everybody
 * @param wanted keys of the lambda's pins
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
 * How many copies of a static tree the worker holds.
 * `multitree`: two per CPU, 6 below 3 CPUs and 16 above 10 (contract, section 7).
 * @param cpus CPUs that this process may use
 */
export function treeReplicas(mode: ImportCache, cpus: number): number {
  if (mode === '') return 0;
  if (mode !== 'multitree') return 1;
  if (cpus < 3) return 6;
  return cpus > 10 ? 16 : 2 * cpus;
}

/**
 * Picks the copy with the fewest forks in flight; of equals the one that has forked least, then the first.
 * POLICY: the original draws one at random; the least loaded one queues less.
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
