/** Finds out from outside how a worker's sandboxes were started, from the worker's report of its zygotes. */
import { z } from 'zod';

export type Way = 'fresh' | 'fork' | 'spare' | 'warm';

export const ZygotesAnswer = z.object({
  zygotes: z.array(
    z.object({
      id: z.string(),
      packages: z.array(z.string()),
      forks: z.number(),
      fromSpares: z.number(),
      spares: z.number(),
      state: z.string(),
    }),
  ),
});

/**
 * The worker's report of its zygotes, and its count of fresh sandboxes; the count is undefined when it was not read.
 */
export interface Tiers {
  zygotes: z.infer<typeof ZygotesAnswer>['zygotes'];
  fresh: number | undefined;
}

const nameOf = (pin: string): string => pin.split('==')[0] ?? pin;
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Number of fresh sandboxes so far. @param metrics text of GET /metrics */
export function readFresh(metrics: string): number {
  return Number(/^argyle_cold_start_seconds_count{kind="fresh"} (\d+)/m.exec(metrics)?.[1] ?? 0);
}

/**
 * The zygote that has imported the handler's packages, or the root without packages; undefined while it is not ready.
 */
export function zygoteOf({ zygotes }: Tiers, pins: readonly string[]): Tiers['zygotes'][number] | undefined {
  const last = pins.at(-1);
  return zygotes.find(({ id, packages, state }) => {
    if (state !== 'ready') return false;
    return last === undefined ? id === '' : packages.some((pin) => nameOf(pin) === nameOf(last));
  });
}

/**
 * How one call's start differed from the expected kind; undefined when it did not. Pure. The counters must be read
 * directly before and after the call.
 */
export function strayed(way: Way, pins: readonly string[], before: Tiers, after: Tiers): string | undefined {
  const forksOf = ({ zygotes }: Tiers): number => sum(zygotes.map(({ forks }) => forks));
  const sparesOf = ({ zygotes }: Tiers): number => sum(zygotes.map(({ fromSpares }) => fromSpares));
  const spare = sparesOf(after) - sparesOf(before);
  const made = {
    fresh: (after.fresh ?? 0) - (before.fresh ?? 0),
    fork: forksOf(after) - forksOf(before) - spare,
    spare,
  };
  const wanted = { fresh: 0, fork: 0, spare: 0, ...(way === 'warm' ? {} : { [way]: 1 }) };
  const told = Object.entries(made).flatMap(([kind, count]) => (count === 0 ? [] : [`${count} ${kind}`]));
  if (made.fresh !== wanted.fresh || made.fork !== wanted.fork || made.spare !== wanted.spare)
    return `sandboxes made: ${told.join(', ') || 'none'} instead of ${way}`;
  if (way === 'fresh' || way === 'warm') return undefined;
  const zygote = zygoteOf(after, pins);
  if (zygote === undefined) return 'there is no zygote with its packages';
  return zygote.forks === (zygoteOf(before, pins)?.forks ?? 0) + 1
    ? undefined
    : 'forked from another zygote than the one with its packages';
}
