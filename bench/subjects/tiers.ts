/** Which way a worker's sandboxes came into being, read from outside: from what it says of its zygotes. */
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

/** What a worker says of its zygotes, and how many fresh sandboxes it has made; undefined where that is not asked. */
export interface Tiers {
  zygotes: z.infer<typeof ZygotesAnswer>['zygotes'];
  fresh: number | undefined;
}

const nameOf = (pin: string): string => pin.split('==')[0] ?? pin;
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Fresh sandboxes made so far. @param metrics the text of GET /metrics */
export function readFresh(metrics: string): number {
  return Number(/^argyle_cold_start_seconds_count{kind="fresh"} (\d+)/m.exec(metrics)?.[1] ?? 0);
}

/** The zygote that has imported a handler's packages, the root where there are none; undefined while it is not ready. */
export function zygoteOf({ zygotes }: Tiers, pins: readonly string[]): Tiers['zygotes'][number] | undefined {
  const last = pins.at(-1);
  return zygotes.find(({ id, packages, state }) => {
    if (state !== 'ready') return false;
    return last === undefined ? id === '' : packages.some((pin) => nameOf(pin) === nameOf(last));
  });
}

/**
 * What was wrong with one call's way; undefined when nothing was. Pure. The counters have to be of right before the
 * call and right after it.
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
