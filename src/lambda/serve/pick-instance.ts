/** Selects the instance for the next request. */
import type { CodeVersion } from '../code/version';
import type { Instance } from './instance';

/**
 * Selects an instance for the next request when each instance serves several requests at once.
 *
 * POLICY: among the instances with requests, the one with the fewest requests gets the next request. When this instance
 * is half full, an idle instance gets the next request, if there is one. Under low load, one instance is busy and the
 * others become idle, so that they can end. A high load is spread over all instances.
 * @param active number of requests of each instance that has requests and may get more, all below `concurrency`
 * @param idle number of instances without requests
 * @returns an index into `active`; `idle`; undefined when all instances are full
 */
export function pickInstance(
  active: readonly number[],
  idle: number,
  concurrency: number,
): number | 'idle' | undefined {
  let best: number | undefined;
  for (const [index, requests] of active.entries()) if (requests < (active[best ?? -1] ?? Infinity)) best = index;
  const isHalfFull = best === undefined || (active[best] ?? 0) * 2 >= concurrency;
  return idle > 0 && isHalfFull ? 'idle' : best;
}

/**
 * Takes the instance for the next request; undefined when no instance may have the request.
 * @param idle instances without requests, most recently used last; the selected one is removed from this list
 */
export function takeInstance(
  busy: Iterable<Instance>,
  idle: Pick<Instance[], 'length' | 'pop'>,
  code?: CodeVersion,
): Instance | undefined {
  const concurrency = code?.facts.config.concurrency ?? 1;
  if (concurrency === 1) return idle.pop();
  const roomy: Instance[] = [];
  for (const one of busy) if (one.usable && one.code === code && one.active < concurrency) roomy.push(one);
  const active = roomy.map((instance) => instance.active);
  const picked = pickInstance(active, idle.length, concurrency);
  return picked === 'idle' ? idle.pop() : roomy[picked ?? -1];
}

/**
 * Number of instances that serve requests but get no further requests.
 * @param concurrency requests that one instance serves at once. With 1 the result is 0: an instance that gets no
 *   further requests ends at once.
 */
export function countRetired(busy: Iterable<Instance>, concurrency: number): number {
  let count = 0;
  if (concurrency > 1) for (const { usable } of busy) if (!usable) count++;
  return count;
}
