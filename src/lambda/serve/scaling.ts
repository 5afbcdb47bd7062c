/**
 * Computes how many instances a function should have. Pure functions of the state of queue and instances.
 *
 * The original changes its target by one per 100 ms. A burst of 100 slow requests then waits seconds for instances that
 * take a millisecond to make. Argyle starts the whole difference at once, when the expected wait of the last request in
 * the queue exceeds the time of a cold start.
 */

/**
 * Shortest expected wait that justifies another instance, in ms. The original's target is outstanding × avgMs / 10: one
 * instance for every 10 ms of queued work. Below this value, more instances would only share the same processors.
 */
export const MIN_WAIT_MS = 10;

/** The averages are out of date when the head of the queue has waited for the time of this many cold starts. */
const STALE_COLD_STARTS = 3;

export interface ScaleInput {
  /** Requests without an instance. */
  queued: number;
  /** Instances that serve a request. */
  busy: number;
  /** Instances that serve requests and get no further ones; 0 when absent. They count only for the upper bound. */
  retired?: number;
  /** Idle instances that could serve a request now. */
  idle: number;
  /** Pending starts. */
  starting: number;
  /** Average time of one request, in ms; undefined before the first request ended. */
  serviceMs: number | undefined;
  /** Average time to make an instance, in ms. */
  coldMs: number;
  /** Wait of the oldest queued request, in ms. */
  oldestWaitMs: number;
  /** Maximum number of instances; 0 for no bound. */
  maxInstances: number;
  /** false: each request needs its own instance. */
  reuse: boolean;
  /** Requests that one instance serves at once; 1 when absent. A request is queued only when all instances are full. */
  concurrency?: number;
}

/** Number of instances to start now, 0 or more. */
export function instancesToStart(input: ScaleInput): number {
  const { queued, busy, idle, starting, concurrency = 1 } = input;
  const have = busy + idle + starting;
  // Number of instances that the waiting requests need in addition to idle and starting instances.
  const waiting = Math.ceil(queued / concurrency) - idle - starting;
  if (waiting <= 0) return 0;
  // POLICY: never more instances than requests, nor than the upper bound.
  const room = Math.min(waiting, input.maxInstances > 0 ? input.maxInstances - have - (input.retired ?? 0) : Infinity);
  if (room <= 0) return 0;
  if (!input.reuse) return room;
  return Math.min(room, Math.max(have === 0 ? 1 : 0, wanted(input, waiting, have) - have));
}

function wanted(input: ScaleInput, waiting: number, have: number): number {
  const patienceMs = Math.max(input.coldMs, MIN_WAIT_MS);
  // POLICY: without measurements, assume slow requests: one instance for each.
  if (input.serviceMs === undefined) return have + waiting;
  // POLICY: the averages are out of date, for example because of a hanging request. Add half of the instances, at least
  // one.
  const stale = input.oldestWaitMs > STALE_COLD_STARTS * patienceMs && input.starting === 0;
  const floor = stale ? have + Math.max(1, Math.ceil(have / 2)) : 0;
  // With n instances the last request waits about waiting × serviceMs / n.
  return Math.max(floor, Math.ceil((waiting * input.serviceMs) / patienceMs));
}

/**
 * Number of idle instances to destroy: the instances beyond the first, or beyond scale.min, that were idle for
 * `surplusIdleMs`. One instance is kept for the next call until the memory pool evicts it.
 * @param idleMs idle time of each idle instance, in ms
 * @param busy number of instances that serve a request
 * @param min scale.min, 0 for none
 * @returns how many of the longest idle instances to destroy
 */
export function instancesToRetire(idleMs: readonly number[], busy: number, surplusIdleMs: number, min = 0): number {
  const expired = idleMs.filter((ms) => ms > surplusIdleMs).length;
  const keep = Math.max(1, min) - busy - (idleMs.length - expired);
  return Math.max(0, expired - Math.max(0, keep));
}

/** Exponential average over about the last twelve values. The first value is taken unchanged. */
export function smooth(average: number | undefined, value: number): number {
  return average === undefined ? value : average + (value - average) / 8;
}
