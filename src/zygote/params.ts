/** Numbers that the popularity policy works with, in one place. Pure data. */

export interface PolicyParams {
  /** MB of the root zygote: a Python that has imported nothing but the guest. */
  readonly rootMb: number;
  /** MB that any zygote costs beyond its packages: page tables, copied heap, cgroup. */
  readonly nodeMb: number;
  /** MB of one parked spare. */
  readonly spareMb: number;
  /** ms from request to running handler for a fresh process, without imports. */
  readonly freshMs: number;
  /** ms to fork a leaf from a zygote that holds next to nothing. */
  readonly forkMs: number;
  /** ms that every MB of the zygote adds to a fork (page tables). */
  readonly forkMsPerMb: number;
  /** ms to claim a parked spare. */
  readonly spareMs: number;
  /** ms until a used spare is replaced. */
  readonly refillMs: number;
  /** Live zygotes are valued by this factor over ones that would have to be made. */
  readonly stickiness: number;
  /** A new zygote must earn the ms of making it back within this many seconds. */
  readonly paybackSec: number;
  /** Least expected ms saved per second that each MB has to bring: what the memory is worth elsewhere. */
  readonly priceMsPerSecPerMb: number;
  /** Share of its time that a zygote may spend forking before it is replicated. */
  readonly targetUtilization: number;
  readonly maxReplicas: number;
  readonly maxSparesPerZygote: number;
  readonly maxZygotes: number;
  /** Zygotes that are begun at one look; the next look decides about the rest, with what the first ones measured. */
  readonly maxNewPerLook: number;
  readonly maxDepth: number;
  /** Heaviest demanded sets that are looked at; the rest is long tail that intersections speak for. */
  readonly maxDemands: number;
  readonly maxCandidates: number;
  readonly maxPairs: number;
  readonly heavyPerSet: number;
}

/**
 * Times from the design's measurements on the reference machine: forking 8 MB of Python 0.7 ms to ready, 80 MB 2.9 ms,
 * a parked spare 1.05 ms to the first result of which 0.3 are ours, a fresh Python in a lean container about 20 ms.
 * MB from the same place (3 MB PSS per idle leaf). The rest was chosen by simulation, see docs/adr/0005.
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
  maxZygotes: 256,
  maxNewPerLook: 12,
  maxDepth: 8,
  maxDemands: 2048,
  maxCandidates: 1536,
  maxPairs: 96,
  heavyPerSet: 4,
};

/** Cost of a package that nobody has measured yet: the median of ReqBench's measured packages, about. */
export const UNMEASURED = { ms: 2, mb: 0.2 } as const;
