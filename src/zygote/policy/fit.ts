/** Fits a static tree to a worker's dep-trace.json, with the algorithm of the popularity policy. Pure. */
import { setId } from './candidates';
import { nameOfKey, parsePackageSpec, pinOf, pinsByName } from './match';
import { DEFAULT_PARAMS, type PolicyParams } from './params';
import { desiredTree } from './popularity';
import type { CostOf, Demand, DesiredTree, PinKey, RequiresOf } from './types';
import { ArgyleError } from '../../errors';

interface TraceEvent {
  readonly type?: unknown;
  readonly name?: unknown;
  readonly deps?: unknown;
}

/** The input of a fit. */
export interface Asked {
  /** Demands whose rates add up to 1 call per second. */
  demands(): Demand[];
  readonly requiresOf: RequiresOf;
  /** Returns the spec of a key for the tree file. */
  readonly specOf: (key: PinKey) => string;
}

/** Reads a trace line by line and counts the called sets of packages. */
export class TraceDemand implements Asked {
  /** Number of lines that were used. */
  events = 0;
  invocations = 0;
  private readonly functions = new Map<string, readonly PinKey[]>();
  private readonly counts = new Map<string, { pins: readonly PinKey[]; count: number }>();
  private readonly requirements = new Map<PinKey, readonly string[]>();
  private readonly specs = new Map<PinKey, string>();
  private lines = 0;

  /**
   * Adds one line. Empty lines, unknown events and calls of undefined functions are ignored, so that truncated traces
   * and traces of the original can be read.
   * @throws ArgyleError CONFIG_INVALID naming the line when it is not a JSON object or a package in it is malformed
   */
  add(line: string): void {
    this.lines++;
    if (line.trim() === '') return;
    const { type, name, deps } = this.parse(line);
    if (typeof name !== 'string') return;
    const list = Array.isArray(deps) ? deps.filter((dep): dep is string => typeof dep === 'string') : [];
    if (type === 'package') this.requirements.set(this.pin(name), list.map(requiredName));
    else if (type === 'function') this.functions.set(name, this.pins(list));
    else if (type === 'invocation') this.called(name);
    else return;
    this.events++;
  }

  /** Demands whose rates add up to 1 call per second, so savings are in ms per invocation. */
  demands(): Demand[] {
    return [...this.counts.values()].map(({ pins, count }) => ({ pins, ratePerSec: count / this.invocations }));
  }

  /** Names that a package needs, as its installer reported them. */
  readonly requiresOf = (key: PinKey): readonly string[] | undefined => this.requirements.get(key);

  /** The spec of a key as the functions wrote it. */
  readonly specOf = (key: PinKey): string => this.specs.get(key) ?? key;

  private called(name: string): void {
    const pins = this.functions.get(name);
    if (pins === undefined) return;
    this.invocations++;
    const entry = this.counts.get(setId(pins)) ?? { pins, count: 0 };
    entry.count++;
    this.counts.set(setId(pins), entry);
  }

  private pins(specs: readonly string[]): readonly PinKey[] {
    const pins = [...pinsByName(this.guard(() => specs.map((spec) => pinOf(spec)))).values()];
    for (const { key, spec } of pins) this.specs.set(key, spec);
    return pins.map(({ key }) => key).sort();
  }

  private pin(spec: string): PinKey {
    return this.guard(() => pinOf(spec).key);
  }

  private parse(line: string): TraceEvent {
    const value = this.guard((): unknown => JSON.parse(line));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
    throw this.malformed(line);
  }

  private guard<T>(read: () => T): T {
    try {
      return read();
    } catch (cause) {
      throw this.malformed(cause instanceof Error ? cause.message : String(cause), cause);
    }
  }

  private malformed(detail: string, cause?: unknown): ArgyleError {
    const message = `trace line ${this.lines}: ${detail.slice(0, 200)}`;
    return new ArgyleError('CONFIG_INVALID', message, { field: 'trace', value: `line ${this.lines}`, cause });
  }
}

/** Returns the name of a Requires-Dist line. */
function requiredName(requirement: string): string {
  const name = /^\s*[A-Za-z0-9][A-Za-z0-9._-]*/.exec(requirement)?.[0] ?? requirement;
  return parsePackageSpec(name).name;
}

/**
 * Fits a tree of at most `budgetMb`. Its savings are in ms per invocation. The worker decides on spares and replicas.
 */
export function fitTree(
  trace: Asked,
  costOf: CostOf,
  budgetMb: number,
  params: PolicyParams = DEFAULT_PARAMS,
): DesiredTree {
  return desiredTree({
    demands: trace.demands(),
    costOf,
    requiresOf: trace.requiresOf,
    budgetMb,
    live: [],
    excluded: () => false,
    params: { ...params, paybackSec: Infinity, maxReplicas: 1, maxSparesPerZygote: 0 },
  });
}

/**
 * Orders a node's packages for the tree file. Packages that no other package of the node needs come first, the most
 * expensive of them at the front, because the first package names the purpose of the node (lookup.ts).
 */
export function headsFirst(keys: readonly PinKey[], costOf: CostOf, requiresOf: RequiresOf): PinKey[] {
  const needed = new Set(keys.flatMap((key) => requiresOf(key) ?? []));
  const rank = (key: PinKey): number => (needed.has(nameOfKey(key)) ? 1 : 0);
  return [...keys].sort((a, b) => rank(a) - rank(b) || costOf(b).ms - costOf(a).ms);
}
