/** Replays the trace in the simulator with the costs measured on the live workers. Pure. */
import { costModel, type CostModel } from '../../src/zygote/simulate/model';
import { simulate, type ColdStart, type SimPolicy, type SimResult } from '../../src/zygote/simulate/engine';
import { lru, none, popularity, staticTree } from '../../src/zygote/simulate/policies';
import type { PackageData } from '../../src/zygote/simulate/reqbench';
import type { Trace } from '../../src/zygote/simulate/trace';
import type { PinKey } from '../../src/zygote/policy/types';
import type { PopularitySeed } from '../../src/zygote/learn/seed';
import type { LiveCall, Start } from './life';

/** Interval of the policy's timer, ms, as in the worker (plan-popularity.ts). */
const TICK_MS = 2000;

/** The packages with the costs and dependencies that the popularity worker learned. */
export function learntData(
  data: PackageData,
  { costs, requires }: Pick<PopularitySeed, 'costs' | 'requires'>,
): PackageData {
  return { ...data, costOf: (key) => costs[key] ?? data.costOf(key), requiresOf: (key) => requires[key] };
}

/** Rounds of fitCosts(). More rounds change no total by one percent. */
const FIT_ROUNDS = 30;

/**
 * The costs with which the imports of each fresh start add up to the measured time of this start. The learnt costs
 * alone differ from this time by a factor of up to 20, because a function without packages in zygotes reports only the
 * total time of its imports. Each round scales the packages of one start by its ratio of measured and expected time, so
 * that their proportions stay as learnt.
 */
export function fitCosts(
  { functions }: Pick<Trace, 'functions'>,
  data: PackageData,
  calls: readonly LiveCall[],
): PackageData {
  const factors = new Map<PinKey, number>();
  const factorOf = (key: PinKey): number => factors.get(key) ?? 1;
  const starts = calls.filter(({ start, status }) => start === 'fresh' && status === 200);
  for (let round = 0; round < FIT_ROUNDS; round++) {
    for (const { fn, importMs } of starts) {
      const pins = functions[fn]?.pins ?? [];
      const expectedMs = pins.reduce((sum, key) => sum + data.costOf(key).ms * factorOf(key), 0);
      if (expectedMs === 0 || importMs === 0) continue;
      // Half of the step, because several functions share a package and their measurements differ.
      const step = Math.sqrt(importMs / expectedMs);
      for (const key of pins) factors.set(key, factorOf(key) * step);
    }
  }
  return {
    ...data,
    costOf: (key) => {
      const { ms, mb } = data.costOf(key);
      return { ms: ms * factorOf(key), mb };
    },
  };
}

/**
 * Mean time of one kind of start without the handler's imports, ms; undefined without such starts. The mean is used,
 * because totals are compared: the slowest tenth of the starts, which wait for a processor, take half of the total
 * time.
 */
function startMs(calls: readonly LiveCall[], start: Start): number | undefined {
  const own = calls.filter((call) => call.start === start && call.status === 200);
  return own.length === 0 ? undefined : own.reduce((sum, { ms, importMs }) => sum + ms - importMs, 0) / own.length;
}

/**
 * The simulator's cost model with start times measured from these calls.
 * @param memoryMb memory for everything except the running call
 */
export function measuredModel(calls: readonly LiveCall[], memoryMb: number): CostModel {
  const model = costModel(memoryMb, 'value');
  return {
    ...model,
    freshMs: startMs(calls, 'fresh') ?? model.freshMs,
    forkMs: startMs(calls, 'fork') ?? model.forkMs,
    // The means above include this cost.
    forkMsPerMb: startMs(calls, 'fork') === undefined ? model.forkMsPerMb : 0,
    spareMs: startMs(calls, 'spare') ?? model.spareMs,
  };
}

export interface ReplayOptions {
  readonly trace: Trace;
  readonly data: PackageData;
  readonly model: CostModel;
  /** Share of the trace that is not counted. */
  readonly warmup: number;
  /** Shares of the memory for zygotes: the share that the static tree was fitted to, and popularity's limit. */
  readonly treeShare: number;
  readonly popularityShare: number;
}

/** A cold start of the simulator, beside the live one of the same call. */
export interface SimStart extends Pick<ColdStart, 'atMs' | 'fn' | 'start' | 'importMs' | 'coldMs' | 'mb'> {
  /** The packages that its zygote had imported. */
  readonly preimported: readonly string[];
}

export interface Replayed extends SimResult {
  readonly starts: readonly SimStart[];
}

/** The policy with a record of its cold starts. */
function recorded(policy: SimPolicy): { policy: SimPolicy; starts: SimStart[] } {
  const starts: SimStart[] = [];
  const coldStart: SimPolicy['coldStart'] = (world, cold) => {
    const { atMs, fn, start, importMs, coldMs, mb, zygote } = cold;
    starts.push({ atMs, fn, start, importMs, coldMs, mb, preimported: zygote?.pins ?? [] });
    policy.coldStart?.(world, cold);
  };
  return { policy: { ...policy, coldStart }, starts };
}

/** Results by the mode of the corresponding worker. `lru` has no worker. */
export function replay({
  trace,
  data,
  model,
  warmup,
  treeShare,
  popularityShare,
}: ReplayOptions): Map<string, Replayed> {
  const policies: readonly (readonly [string, SimPolicy])[] = [
    ['none', none()],
    ['tree', staticTree(data, treeShare)],
    ['popularity', popularity(data, { share: popularityShare, deployed: trace.functions.map(({ pins }) => pins) })],
    ['lru', lru(treeShare)],
  ];
  return new Map(
    policies.map(([mode, plain]) => {
      const { policy, starts } = recorded(plain);
      return [mode, { ...simulate(trace, data, model, policy, { tickMs: TICK_MS, warmup }), starts }];
    }),
  );
}
