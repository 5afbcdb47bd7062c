/** Replays the trace in the simulator with the costs measured on the live workers. Pure. */
import { costModel, type CostModel } from '../../src/zygote/simulate/model';
import { simulate, type SimPolicy, type SimResult } from '../../src/zygote/simulate/engine';
import { lru, none, popularity, staticTree } from '../../src/zygote/simulate/policies';
import type { PackageData } from '../../src/zygote/simulate/reqbench';
import type { Trace } from '../../src/zygote/simulate/trace';
import type { PopularitySeed } from '../../src/zygote/learn/seed';
import { quantile } from '../stats';
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

/** Median time of one kind of start without the handler's imports, ms; undefined without such starts. */
function startMs(calls: readonly LiveCall[], start: Start): number | undefined {
  const own = calls.filter((call) => call.start === start && call.status === 200);
  return own.length === 0
    ? undefined
    : quantile(
        own.map(({ ms, importMs }) => ms - importMs),
        0.5,
      );
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
    // The medians above include this cost.
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

/** Results by the mode of the corresponding worker. `lru` has no worker. */
export function replay({
  trace,
  data,
  model,
  warmup,
  treeShare,
  popularityShare,
}: ReplayOptions): Map<string, SimResult> {
  const policies: readonly (readonly [string, SimPolicy])[] = [
    ['none', none()],
    ['tree', staticTree(data, treeShare)],
    ['popularity', popularity(data, { share: popularityShare })],
    ['lru', lru(treeShare)],
  ];
  return new Map(
    policies.map(([mode, policy]) => [mode, simulate(trace, data, model, policy, { tickMs: TICK_MS, warmup })]),
  );
}
