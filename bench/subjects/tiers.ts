/** Which way a worker's sandboxes came into being, read from outside: what it exports and what it says of its zygotes. */
import { z } from 'zod';

export type Way = 'fresh' | 'fork' | 'spare' | 'warm';

export interface Tiers {
  /** Sandboxes made so far, by way. */
  made: Record<'fresh' | 'fork' | 'spare', number>;
  /** Forks and used spares of the zygote that has imported the handler's packages; undefined while there is none. */
  forks: number | undefined;
  /** Spares that it has parked. */
  spares: number;
}

export const ZygotesAnswer = z.object({
  zygotes: z.array(
    z.object({
      id: z.string(),
      packages: z.array(z.string()),
      forks: z.number(),
      spares: z.number(),
      state: z.string(),
    }),
  ),
});

const nameOf = (pin: string): string => pin.split('==')[0] ?? pin;

/**
 * @param metrics the text of GET /metrics
 * @param zygotes the body of GET /zygotes
 * @param pins the handler's packages; the root zygote is meant when there are none
 */
export function readTiers(metrics: string, zygotes: unknown, pins: readonly string[]): Tiers {
  const made = (kind: string): number =>
    Number(new RegExp(`^argyle_cold_start_seconds_count{kind="${kind}"} (\\d+)`, 'm').exec(metrics)?.[1] ?? 0);
  const last = pins.at(-1);
  const found = ZygotesAnswer.parse(zygotes).zygotes.find(({ id, packages, state }) => {
    if (state !== 'ready') return false;
    return last === undefined ? id === '' : packages.some((pin) => nameOf(pin) === nameOf(last));
  });
  return {
    made: { fresh: made('fresh'), fork: made('fork'), spare: made('spare') },
    forks: found?.forks,
    spares: found?.spares ?? 0,
  };
}

/** What was wrong with one call's way; undefined when nothing was. Pure. */
export function strayed(way: Way, before: Tiers, after: Tiers): string | undefined {
  const kinds = ['fresh', 'fork', 'spare'] as const;
  const made = kinds.flatMap((kind) => new Array<string>(after.made[kind] - before.made[kind]).fill(kind));
  const wanted = way === 'warm' ? [] : [way];
  if (made.join() !== wanted.join()) return `sandboxes made: ${made.join(', ') || 'none'} instead of ${way}`;
  if (way === 'fresh' || way === 'warm') return undefined;
  if (after.forks === undefined) return 'there is no zygote with its packages';
  return after.forks === (before.forks ?? 0) + 1
    ? undefined
    : 'forked from another zygote than the one with its packages';
}
