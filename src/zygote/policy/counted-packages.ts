/** The input for fitting a tree of unpinned names: counted packages with their current dependencies. Pure. */
import { setId } from './candidates';
import { parsePackageSpec, pinOf } from './match';
import type { Asked } from './fit';
import type { CostOf, Demand, ImportCost, PinKey, RequiresOf } from './types';

/** A resolver's result for one package: all names, and the direct dependencies of each. */
export interface Closure {
  readonly names: readonly string[];
  readonly requires: ReadonlyMap<string, readonly string[]>;
}

/** A line of uv's `line` annotation style: `six==1.17.0   # via python-dateutil, html5lib`. */
const LINE = /^([^\s=]+)==\S+(?:\s+#\s*via\s+(.*))?$/;

/**
 * Reads the output of `uv pip compile --annotation-style line`.
 * @throws ArgyleError CONFIG_INVALID for a malformed name
 */
export function parseClosure(text: string): Closure {
  const names: string[] = [];
  const requires = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const found = LINE.exec(line.trim());
    if (!found) continue;
    const [, spec = '', users = ''] = found;
    const { name } = parsePackageSpec(spec);
    names.push(name);
    if (!requires.has(name)) requires.set(name, []);
    for (const user of users.split(',').map((item) => item.trim())) {
      if (!/^[a-z0-9]/i.test(user)) continue;
      const by = parsePackageSpec(user).name;
      requires.set(by, [...(requires.get(by) ?? []), name]);
    }
  }
  return { names: names.sort(), requires };
}

/** Combines all versions by name: the sum of their counts and the median of their costs. */
export function byName(
  sets: readonly { readonly pins: readonly PinKey[]; readonly count: number; readonly of: PinKey }[],
  costs: ReadonlyMap<PinKey, ImportCost>,
): { counts: Map<string, number>; costs: Map<string, ImportCost> } {
  const counts = new Map<string, number>();
  for (const { of, count } of sets) counts.set(pinOf(of).name, (counts.get(pinOf(of).name) ?? 0) + count);
  const all = new Map<string, ImportCost[]>();
  for (const [key, cost] of costs) {
    const { name } = pinOf(key);
    all.set(name, [...(all.get(name) ?? []), cost]);
  }
  const middle = (list: ImportCost[]): ImportCost | undefined =>
    list.toSorted((a, b) => a.ms - b.ms)[Math.floor(list.length / 2)];
  const known = [...all].flatMap(([name, list]) => {
    const cost = middle(list);
    return cost === undefined ? [] : [[name, cost] as const];
  });
  return { counts, costs: new Map(known) };
}

/** Returns the names with the largest count × import time; dependencies are not included. */
export function weightiest(counts: ReadonlyMap<string, number>, costOf: CostOf, most: number): string[] {
  const weighed = [...counts].map(([name, count]) => ({ name, ms: count * costOf(name).ms }));
  return weighed
    .sort((a, b) => b.ms - a.ms || (a.name < b.name ? -1 : 1))
    .slice(0, most)
    .map(({ name }) => name);
}

/** Converts counted packages to demands. Each count requests the package's closure, without versions. */
export class CountedDemand implements Asked {
  private readonly requirements = new Map<PinKey, readonly string[]>();
  private readonly sets = new Map<string, { pins: readonly PinKey[]; count: number }>();
  private total = 0;

  add(count: number, { names, requires }: Closure): void {
    const id = setId(names);
    this.sets.set(id, { pins: names, count: (this.sets.get(id)?.count ?? 0) + count });
    for (const [name, needed] of requires) this.requirements.set(name, needed);
    this.total += count;
  }

  demands(): Demand[] {
    return [...this.sets.values()].map(({ pins, count }) => ({ pins, ratePerSec: count / this.total }));
  }

  readonly requiresOf: RequiresOf = (key) => this.requirements.get(key);

  readonly specOf = (key: PinKey): string => key;
}
