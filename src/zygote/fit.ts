/** Fits a static tree to what a worker recorded in dep-trace.json, by the popularity policy's own algorithm. Pure. */
import { setId } from './candidates';
import { parsePackageSpec, pinOf, pinsByName } from './match';
import { DEFAULT_PARAMS, type PolicyParams } from './params';
import { desiredTree } from './popularity';
import type { CostOf, Demand, DesiredTree, PinKey } from './types';
import { ArgyleError } from '../errors';

interface TraceEvent {
  readonly type?: unknown;
  readonly name?: unknown;
  readonly deps?: unknown;
}

/** Reads a trace line by line and counts which sets of packages are called for. */
export class TraceDemand {
  /** Lines that were used. */
  events = 0;
  invocations = 0;
  private readonly functions = new Map<string, readonly PinKey[]>();
  private readonly counts = new Map<string, { pins: readonly PinKey[]; count: number }>();
  private readonly requirements = new Map<PinKey, readonly string[]>();
  private readonly specs = new Map<PinKey, string>();
  private lines = 0;

  /**
   * Takes one line. Unknown events and calls of functions that the trace does not define are passed over, so that
   * the original's traces and cut ones can be read; an empty line too.
   * @throws ArgyleError CONFIG_INVALID naming the line when it is no JSON object or a package in it is malformed
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

  /** Rates such that all together are one call per second: savings come out as ms per invocation. */
  demands(): Demand[] {
    return [...this.counts.values()].map(({ pins, count }) => ({ pins, ratePerSec: count / this.invocations }));
  }

  /** Names that a package needs, as its installer saw them. */
  readonly requiresOf = (key: PinKey): readonly string[] | undefined => this.requirements.get(key);

  /** The spec as the functions wrote it. */
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

/** The name in a Requires-Dist line, whatever follows it. */
function requiredName(requirement: string): string {
  const name = /^\s*[A-Za-z0-9][A-Za-z0-9._-]*/.exec(requirement)?.[0] ?? requirement;
  return parsePackageSpec(name).name;
}

/**
 * Fits a tree of at most `budgetMb`. Savings in it are ms per invocation; spares and replicas are left to the worker.
 */
export function fitTree(
  trace: TraceDemand,
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
