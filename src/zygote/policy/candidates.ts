/**
 * Lists the sets of packages that may be worth a zygote. Pure.
 *
 * A zygote imports all packages that it names, so a candidate must be closed under dependencies. The sets that
 * functions require are closed, because their requirements pin every dependency. The intersection of two closed sets is
 * closed, too, unless the sets contain different versions of one package. In that case, intersect() also removes every
 * package that needs this one, and every package with unknown dependencies.
 */
import { nameOfKey } from './match';
import { finish, type Steps } from './steps';
import type { CostOf, Demand, PinKey, RequiresOf } from './types';

export interface CandidateLimits {
  /** Number of the heaviest sets that are intersected with each other. */
  readonly pairs: number;
  /** Limit for the returned candidates. */
  readonly candidates: number;
  /** The closures of the most expensive packages of each set are candidates. Number of these packages per set. */
  readonly heavyPerSet: number;
}

/** Returns the id of a sorted set; equal sets have equal ids. */
export function setId(pins: readonly PinKey[]): string {
  return pins.join(',');
}

/**
 * Removes banned packages and all packages that need them, transitively.
 * @param banned true for a package that must not be imported
 */
export function without(
  pins: readonly PinKey[],
  banned: (key: PinKey) => boolean,
  requiresOf: RequiresOf,
): readonly PinKey[] {
  const gone = new Set<string>(pins.filter(banned).map(nameOfKey));
  return gone.size === 0
    ? pins
    : dropDependants(
        pins.filter((key) => !banned(key)),
        gone,
        requiresOf,
        false,
      );
}

/** A set with precomputed lookups; these keep thousands of intersections cheap. */
interface Prepared {
  readonly pins: readonly PinKey[];
  readonly keys: ReadonlySet<PinKey>;
  /** Keys by package name. */
  readonly byName: ReadonlyMap<string, PinKey>;
}

function prepare(pins: readonly PinKey[]): Prepared {
  return { pins, keys: new Set(pins), byName: new Map(pins.map((key) => [nameOfKey(key), key])) };
}

/** Intersects two sorted closed sets; the result is sorted and closed. */
export function intersect(a: readonly PinKey[], b: readonly PinKey[], requiresOf: RequiresOf): readonly PinKey[] {
  return intersectPrepared(prepare(a), prepare(b), requiresOf);
}

function intersectPrepared(a: Prepared, b: Prepared, requiresOf: RequiresOf): readonly PinKey[] {
  const [small, large] = a.pins.length < b.pins.length ? [a, b] : [b, a];
  const common = small.pins.filter((key) => large.keys.has(key));
  if (common.length === 0 || common.length === small.pins.length) return common;
  const conflicts = new Set<string>();
  for (const [name, key] of small.byName) if ((large.byName.get(name) ?? key) !== key) conflicts.add(name);
  return conflicts.size === 0 ? common : dropDependants(common, conflicts, requiresOf, true);
}

function dropDependants(
  pins: readonly PinKey[],
  gone: Set<string>,
  requiresOf: RequiresOf,
  dropUnknown: boolean,
): readonly PinKey[] {
  let kept = pins;
  for (;;) {
    const next = kept.filter((key) => {
      const names = requiresOf(key);
      return names === undefined ? !dropUnknown : !names.some((name) => gone.has(name));
    });
    if (next.length === kept.length) return next;
    const left = new Set(next);
    for (const key of kept) if (!left.has(key)) gone.add(nameOfKey(key));
    kept = next;
  }
}

/** Returns a package with all its dependencies from one set; undefined when some dependencies are unknown. */
export function closureIn(pins: readonly PinKey[], key: PinKey, requiresOf: RequiresOf): readonly PinKey[] | undefined {
  const byName = new Map(pins.map((pin) => [nameOfKey(pin), pin]));
  const closure = new Set<PinKey>([key]);
  for (const member of closure) {
    const names = requiresOf(member);
    if (names === undefined) return undefined;
    // An extra or a marker may name packages that this set does not contain; the package runs without them.
    for (const name of names) {
      const pin = byName.get(name);
      if (pin !== undefined) closure.add(pin);
    }
  }
  return [...closure].sort();
}

/** Whether a package needs, directly or transitively, a package outside the set. Unknown dependencies count as none. */
export function lacksNeeds(pins: readonly PinKey[], key: PinKey, requiresOf: RequiresOf): boolean {
  const byName = new Map(pins.map((pin) => [nameOfKey(pin), pin]));
  const seen = new Set<PinKey>([key]);
  for (const member of seen) {
    for (const name of requiresOf(member) ?? []) {
      const pin = byName.get(name);
      if (pin === undefined) return true;
      seen.add(pin);
    }
  }
  return false;
}

/**
 * Lists the candidate sets: the demanded sets, closures of their most expensive packages, and intersections of the
 * heaviest of these sets. A second round intersects the results again, which gives intersections of three or four sets.
 * Work: O(pairs² × set size). Returns at most `candidates` sets, those with the largest expected saving first.
 */
export function* candidateSteps(
  demands: readonly Demand[],
  costOf: CostOf,
  requiresOf: RequiresOf,
  limits: CandidateLimits,
): Steps<(readonly PinKey[])[]> {
  interface Entry {
    readonly pins: readonly PinKey[];
    readonly ms: number;
    weight: number;
    prepared?: Prepared;
  }
  const entries = new Map<string, Entry>();
  const entryOf = (pins: readonly PinKey[]): Entry => {
    const id = setId(pins);
    let entry = entries.get(id);
    if (entry === undefined) {
      entry = { pins, ms: pins.reduce((sum, key) => sum + costOf(key).ms, 0), weight: 0 };
      entries.set(id, entry);
    }
    return entry;
  };
  for (const { pins, ratePerSec } of demands) {
    const whole = entryOf(pins);
    whole.weight += ratePerSec * whole.ms;
    yield;
    for (const key of costliest(pins, costOf, limits.heavyPerSet)) {
      const closure = closureIn(pins, key, requiresOf);
      if (closure === undefined || closure.length === pins.length) continue;
      const part = entryOf(closure);
      part.weight += ratePerSec * part.ms;
    }
  }
  entries.delete('');
  const heaviest = (count: number): Entry[] =>
    [...entries.values()].sort((a, b) => b.weight - a.weight).slice(0, count);
  for (const count of [limits.pairs, limits.pairs >> 1]) {
    const sets = heaviest(count);
    for (const [index, a] of sets.entries()) {
      a.prepared ??= prepare(a.pins);
      for (const b of sets.slice(index + 1)) {
        yield;
        const common = intersectPrepared(a.prepared, (b.prepared ??= prepare(b.pins)), requiresOf);
        if (common.length === 0 || common.length === a.pins.length || common.length === b.pins.length) continue;
        // Weight: the saving of the intersection for both sets.
        const shared = entryOf(common);
        shared.weight += (a.weight * shared.ms) / (a.ms || 1) + (b.weight * shared.ms) / (b.ms || 1);
      }
    }
  }
  return heaviest(limits.candidates).map((entry) => entry.pins);
}

/** candidateSteps() without interruption. */
export function candidateSets(...args: Parameters<typeof candidateSteps>): (readonly PinKey[])[] {
  return finish(candidateSteps(...args));
}

function costliest(pins: readonly PinKey[], costOf: CostOf, count: number): PinKey[] {
  const costs = pins.map((key) => ({ key, ms: costOf(key).ms }));
  return costs
    .sort((a, b) => b.ms - a.ms)
    .slice(0, count)
    .map(({ key }) => key);
}
