/** The parameters of the popularity policy. Pure data. */

export interface PolicyParams {
  /** Memory of the root zygote in MB: a Python with only the guest imported. */
  readonly rootMb: number;
  /** Memory of any zygote in addition to its packages, in MB: page tables, copied heap, cgroup. */
  readonly nodeMb: number;
  /** Memory of one parked spare, in MB. */
  readonly spareMb: number;
  /** Time from request to running handler of a fresh process, without imports, in ms. */
  readonly freshMs: number;
  /** Time to fork a leaf from an almost empty zygote, in ms. */
  readonly forkMs: number;
  /** Fork time added by each MB of the zygote (page tables), in ms per MB. */
  readonly forkMsPerMb: number;
  /** Time to claim a parked spare, in ms. */
  readonly spareMs: number;
  /** Time until a used spare is replaced, in ms. */
  readonly refillMs: number;
  /** Factor on the value of live zygotes against zygotes that would have to be made. */
  readonly stickiness: number;
  /** A new zygote must save its own creation time within this time, in s. */
  readonly paybackSec: number;
  /** Price of memory: minimum saving per MB, in ms per second. Other uses of the memory save this much. */
  readonly priceMsPerSecPerMb: number;
  /** Share of time that a zygote may spend on forks before it gets a replica. */
  readonly targetUtilization: number;
  readonly maxReplicas: number;
  readonly maxSparesPerZygote: number;
  /** A spare must save at least this much even where memory is free, in ms per second and MB. */
  readonly leastSpareRatio: number;
  readonly maxZygotes: number;
  /** Limit for new zygotes per look; the next look decides about more, with the measurements of the first ones. */
  readonly maxNewPerLook: number;
  readonly maxDepth: number;
  /** Number of the heaviest demands that are considered; their intersections also cover rarer sets. */
  readonly maxDemands: number;
  readonly maxCandidates: number;
  readonly maxPairs: number;
  readonly heavyPerSet: number;
}

/**
 * Times on the reference machine: a fork of a Python process with 8 MB is ready after 0.7 ms, of one with 80 MB after
 * 2.9 ms. A parked spare gives its first result after 1.05 ms, of which the worker takes 0.3 ms. A fresh Python in a
 * container takes about 20 ms. An idle leaf has a PSS of 3 MB there. The other values come from simulations, see
 * docs/adr/0005.
 */
export const DEFAULT_PARAMS: PolicyParams = {
  rootMb: 9,
  nodeMb: 2.5,
  spareMb: 2.5,
  freshMs: 20,
  forkMs: 0.7,
  forkMsPerMb: 0.03,
  spareMs: 0.3,
  refillMs: 20,
  stickiness: 1.25,
  paybackSec: 3600,
  priceMsPerSecPerMb: 0,
  targetUtilization: 0.5,
  maxReplicas: 8,
  maxSparesPerZygote: 8,
  leastSpareRatio: 1e-5,
  maxZygotes: 256,
  maxNewPerLook: 12,
  maxDepth: 8,
  maxDemands: 2048,
  maxCandidates: 1536,
  maxPairs: 96,
  heavyPerSet: 4,
};

/** Cost of an unmeasured package: approximately the median of ReqBench's measured packages. */
export const UNMEASURED = { ms: 2, mb: 0.2 } as const;
