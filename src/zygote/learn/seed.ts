/** The format of the file that holds the learnt state of the popularity policy. */
import { z } from 'zod';
import { ArgyleError } from '../../errors';

const amount = z.number().min(0);
const Seed = z.object({
  version: z.literal(1),
  /** Age of the counts, in ms. */
  ageMs: amount,
  sets: z.array(
    z.object({ pins: z.array(z.string().min(1)), fast: amount, slow: amount, importMs: amount.optional() }),
  ),
  costs: z.record(z.string(), z.object({ ms: amount, mb: amount, measured: z.boolean() })),
  /** Names of the packages that a package needs, by key. */
  requires: z.record(z.string(), z.array(z.string())),
  /** Reason why a package must not be in a zygote, by key or name. */
  excluded: z.record(z.string(), z.string()),
  /** Spec under which a package is installed, by key. Files of earlier versions lack this field. */
  specs: z.record(z.string(), z.string()).default({}),
  /** Submodules of a package that handlers load, by key. */
  submodules: z.record(z.string(), z.array(z.string())).default({}),
});

export type PopularitySeed = z.infer<typeof Seed>;

/** The part of the seed that the tracker owns. */
export type TrackerSeed = Omit<PopularitySeed, 'submodules'>;

/** @throws ArgyleError CONFIG_INVALID naming the first field at fault */
export function parseSeed(value: unknown): PopularitySeed {
  const parsed = Seed.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue === undefined || issue.path.length === 0 ? 'seed' : issue.path.map(String).join('.');
  throw new ArgyleError('CONFIG_INVALID', `popularity seed: ${field}: ${issue?.message ?? 'malformed'}`, { field });
}
