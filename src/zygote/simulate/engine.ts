/** Runs a trace on a simulated worker with one policy and sums the costs of the cold starts. Deterministic. */
import type { StartKind } from '../../sandbox/types';
import type { PinKey } from '../policy/types';
import type { CostModel } from './model';
import type { PackageData } from './reqbench';
import type { Trace } from './trace';
import { World, type SimZygote } from './world';

/** One cold start, as reported to a policy. */
export interface ColdStart {
  readonly atMs: number;
  readonly fn: number;
  readonly pins: readonly PinKey[];
  readonly start: StartKind;
  readonly zygote: SimZygote | undefined;
  /** Import time of the handler, in ms. */
  readonly importMs: number;
  /** Time from request to running handler, in ms. */
  readonly coldMs: number;
  /** Part of coldMs spent on waiting for memory, in ms. */
  readonly waitMs: number;
  /** Memory of the new instance, in MB. */
  readonly mb: number;
}

export interface SimPolicy {
  readonly name: string;
  /** Called before the first invocation. */
  start?(world: World): void;
  coldStart?(world: World, cold: ColdStart): void;
  /** Called for every invocation, warm or cold. */
  invoked?(fn: number, pins: readonly PinKey[]): void;
  /** Called at every tickMs of simulated time. */
  tick?(world: World, nowMs: number): void;
  /** Called once, when the warm-up is over. */
  warmedUp?(world: World, nowMs: number): void;
}

export interface SimResult {
  readonly policy: string;
  readonly memoryMb: number;
  readonly invocations: number;
  readonly coldStarts: number;
  /** Sum of coldMs over all cold starts, in ms. */
  readonly totalColdMs: number;
  readonly medianColdMs: number;
  readonly p99ColdMs: number;
  /** Share of cold starts whose zygote had imported at least one of their packages. */
  readonly hitRate: number;
  /** Share of the total import time that zygotes saved. */
  readonly savedShare: number;
  readonly peakMb: number;
  /** Part of totalColdMs spent on waiting for memory, in ms. */
  readonly waitMs: number;
  /** Mean memory of zygotes and spares over all ticks, in MB. */
  readonly zygoteMb: number;
  readonly zygotesBuilt: number;
  readonly buildMs: number;
}

export interface EngineOptions {
  readonly tickMs?: number;
  /** Share of the trace that is not counted, at the start. */
  readonly warmup?: number;
}

/** Returns the quantile of sorted values; 0 when there are none. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

/** Simulates one policy. Results exclude the warm-up, which is the same for every policy. */
export function simulate(
  trace: Trace,
  data: PackageData,
  model: CostModel,
  policy: SimPolicy,
  { tickMs = 30_000, warmup = 0.1 }: EngineOptions = {},
): SimResult {
  const world = new World(model, data, trace.functions);
  const wanted = trace.functions.map((fn) => new Set(fn.pins));
  const costs = trace.functions.map((fn) => sumCosts(fn.pins, data));
  const countFrom = Math.floor(trace.invocations.length * warmup);
  const colds: number[] = [];
  let hits = 0;
  let askedMs = 0;
  let sparedMs = 0;
  let waitMs = 0;
  let zygoteMb = 0;
  let ticks = 0;
  let nextTickMs = tickMs;
  policy.start?.(world);
  trace.invocations.forEach((invocation, index) => {
    const { atMs, fn } = invocation;
    for (; nextTickMs <= atMs; nextTickMs += tickMs) {
      world.advance(nextTickMs);
      policy.tick?.(world, nextTickMs);
      zygoteMb += world.zygoteMb;
      ticks++;
    }
    world.advance(atMs);
    if (index === countFrom) policy.warmedUp?.(world, atMs);
    policy.invoked?.(fn, trace.functions[fn]?.pins ?? []);
    const warm = world.takeIdle(fn);
    if (warm !== undefined) {
      world.run(warm, atMs + invocation.execMs);
      return;
    }
    const need = costs[fn] ?? { ms: 0, mb: 0 };
    const zygote = world.best(wanted[fn] ?? new Set());
    const own = { ms: need.ms - (zygote?.ms ?? 0), mb: need.mb - (zygote?.contentMb ?? 0) };
    const start = startCost(zygote, atMs, model);
    const made = world.makeInstance(fn, own.mb + (zygote === undefined ? model.freshMb : model.leafMb), zygote, atMs);
    const coldMs = made.atMs - atMs + start.ms + own.ms;
    made.instance.savesMs = coldMs;
    world.run(made.instance, atMs + coldMs + invocation.execMs);
    if (zygote !== undefined) zygote.usedAtMs = atMs;
    if (index >= countFrom) {
      colds.push(coldMs);
      waitMs += made.atMs - atMs;
      askedMs += need.ms;
      sparedMs += zygote?.ms ?? 0;
      if ((zygote?.pins.length ?? 0) > 0) hits++;
    }
    const pins = trace.functions[fn]?.pins ?? [];
    policy.coldStart?.(world, {
      atMs,
      fn,
      pins,
      start: start.kind,
      zygote,
      importMs: own.ms,
      coldMs,
      waitMs: made.atMs - atMs,
      mb: made.instance.mb,
    });
  });
  colds.sort((a, b) => a - b);
  return {
    policy: policy.name,
    memoryMb: model.memoryMb,
    invocations: trace.invocations.length - countFrom,
    coldStarts: colds.length,
    totalColdMs: colds.reduce((sum, ms) => sum + ms, 0),
    medianColdMs: quantile(colds, 0.5),
    p99ColdMs: quantile(colds, 0.99),
    hitRate: colds.length === 0 ? 0 : hits / colds.length,
    savedShare: askedMs === 0 ? 0 : sparedMs / askedMs,
    waitMs,
    peakMb: world.peakMb,
    zygoteMb: ticks === 0 ? 0 : zygoteMb / ticks,
    zygotesBuilt: world.built,
    buildMs: world.buildMs,
  };
}

function sumCosts(pins: readonly PinKey[], data: PackageData): { ms: number; mb: number } {
  let ms = 0;
  let mb = 0;
  for (const key of pins) {
    const cost = data.costOf(key);
    ms += cost.ms;
    mb += cost.mb;
  }
  return { ms, mb };
}

/**
 * Returns the time until the handler's imports begin: with a ready spare, else with a fork by the copy that is free
 * first.
 */
function startCost(zygote: SimZygote | undefined, nowMs: number, model: CostModel): { kind: StartKind; ms: number } {
  if (zygote === undefined) return { kind: 'fresh', ms: model.freshMs };
  const forkMs = model.forkMs + model.forkMsPerMb * zygote.contentMb;
  const spare = zygote.spares.findIndex((readyMs) => readyMs <= nowMs);
  if (spare >= 0) {
    zygote.spares[spare] = nowMs + model.refillMs;
    return { kind: 'spare', ms: model.spareMs };
  }
  const free = Math.min(...zygote.copies);
  const startMs = Math.max(nowMs, free);
  zygote.copies[zygote.copies.indexOf(free)] = startMs + forkMs;
  return { kind: 'fork', ms: startMs - nowMs + forkMs };
}
