/** The cost model of the simulated worker. Pure data. */
import { DEFAULT_PARAMS } from '../policy/params';

export interface CostModel {
  /** Memory for instances, zygotes and spares together, in MB. */
  readonly memoryMb: number;
  /** Order of eviction of idle instances: least recently used first, or by the evictor's ms saved per MB. */
  readonly eviction: 'lru' | 'value';
  /** Fresh process: time until the handler's own imports in ms, and memory without them in MB. */
  readonly freshMs: number;
  readonly freshMb: number;
  /** Forked leaf: memory that it does not share with its zygote, in MB. */
  readonly leafMb: number;
  readonly forkMs: number;
  readonly forkMsPerMb: number;
  readonly spareMs: number;
  readonly refillMs: number;
  readonly rootMb: number;
  readonly nodeMb: number;
  /** Number of zygotes that are made concurrently in the background. */
  readonly builders: number;
  /** Slowdown factor of background imports against a handler's imports. */
  readonly buildSlowdown: number;
}

/** Makes the cost model from the design's measurements (params.ts). */
export function costModel(memoryMb: number, eviction: CostModel['eviction'] = 'lru'): CostModel {
  const { freshMs, forkMs, forkMsPerMb, spareMs, refillMs, rootMb, nodeMb, spareMb } = DEFAULT_PARAMS;
  return {
    memoryMb,
    eviction,
    freshMs,
    freshMb: rootMb,
    leafMb: spareMb,
    forkMs,
    forkMsPerMb,
    spareMs,
    refillMs,
    rootMb,
    nodeMb,
    builders: 1,
    buildSlowdown: 2,
  };
}
