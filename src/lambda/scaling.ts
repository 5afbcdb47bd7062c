/**
 * How many instances a function should have: pure functions of what its queue and instances look like.
 *
 * The original moves its target by one per 100 ms, so a burst of 100 slow requests waits seconds for instances that
 * take a millisecond to make. Here the whole difference is started at once, as soon as the last request in the queue
 * is expected to wait longer than a cold start takes.
 */

/**
 * Shortest expected wait that is worth another instance. The original's target is outstanding × avgMs / 10: an
 * instance for every 10 ms of queued work. Below that, more instances only share the same processors.
 */
export const MIN_WAIT_MS = 10;

/** A head of the queue that has waited this many cold starts shows that the averages are out of date. */
const STALE_COLD_STARTS = 3;

export interface ScaleInput {
  /** Requests without an instance. */
  queued: number;
  /** Instances that serve a request. */
  busy: number;
  /** Instances that could serve one now. */
  idle: number;
  /** Instances on their way. */
  starting: number;
  /** Average ms that an instance is taken by one request; undefined before the first one ended. */
  serviceMs: number | undefined;
  /** Average ms that making an instance takes. */
  coldMs: number;
  /** How long the oldest queued request has waited, ms. */
  oldestWaitMs: number;
  /** Upper bound of all instances; 0 for none. */
  maxInstances: number;
  /** false: each request needs an instance of its own. */
  reuse: boolean;
}

/** How many instances to start now, 0 or more. */
export function instancesToStart(input: ScaleInput): number {
  const { queued, busy, idle, starting } = input;
  const have = busy + idle + starting;
  const waiting = queued - idle - starting;
  if (waiting <= 0) return 0;
  // POLICY: never more instances than requests, nor than allowed.
  const room = Math.min(waiting, input.maxInstances > 0 ? input.maxInstances - have : Infinity);
  if (room <= 0) return 0;
  if (!input.reuse) return room;
  return Math.min(room, Math.max(have === 0 ? 1 : 0, wanted(input, waiting, have) - have));
}

function wanted(input: ScaleInput, waiting: number, have: number): number {
  const patienceMs = Math.max(input.coldMs, MIN_WAIT_MS);
  // POLICY: nothing is known yet, so assume slow requests: one instance for each.
  if (input.serviceMs === undefined) return have + waiting;
  // POLICY: the head waits in spite of the averages (a request that hangs, say): grow by half, at least by one.
  const stale = input.oldestWaitMs > STALE_COLD_STARTS * patienceMs && input.starting === 0;
  const floor = stale ? have + Math.max(1, Math.ceil(have / 2)) : 0;
  // With n instances the last request waits about waiting × serviceMs / n.
  return Math.max(floor, Math.ceil((waiting * input.serviceMs) / patienceMs));
}

/**
 * Which idle instances to give up: those beyond the first that nobody has needed for `surplusIdleMs`. One stays as
 * the handler cache until the memory pool evicts it.
 * @param idleMs how long each idle instance has been idle, ms
 * @param busy instances that serve a request
 * @returns how many of the longest idle ones to destroy
 */
export function instancesToRetire(idleMs: readonly number[], busy: number, surplusIdleMs: number): number {
  const expired = idleMs.filter((ms) => ms > surplusIdleMs).length;
  const keep = busy > 0 || expired < idleMs.length ? 0 : 1;
  return Math.max(0, expired - keep);
}

/** Exponential average that follows the last dozen values; the first value is taken as it is. */
export function smooth(average: number | undefined, value: number): number {
  return average === undefined ? value : average + (value - average) / 8;
}
