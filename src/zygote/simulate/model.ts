/** What things cost in the simulated worker. Pure data. */
import { DEFAULT_PARAMS } from '../params';

export interface CostModel {
  /** Memory for everything: instances, zygotes, spares. */
  readonly memoryMb: number;
  /** Which idle instance goes first: the least recently used one, or the evictor's choice by ms saved per MB. */
  readonly eviction: 'lru' | 'value';
  /** Fresh process: ms until the handler's own imports begin, and MB without them. */
  readonly freshMs: number;
  readonly freshMb: number;
  /** Forked leaf: MB that it does not share with its zygote. */
  readonly leafMb: number;
  readonly forkMs: number;
  readonly forkMsPerMb: number;
  readonly spareMs: number;
  readonly refillMs: number;
  readonly rootMb: number;
  readonly nodeMb: number;
  /** Zygotes that are made at the same time, in the background. */
  readonly builders: number;
  /** How much slower background imports are than a handler's. */
  readonly buildSlowdown: number;
}

/** As measured for the design (see params.ts); memory as asked for. */
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
