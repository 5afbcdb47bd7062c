/** The file in which a worker keeps what its popularity policy has learnt. */
import { z } from 'zod';
import { ArgyleError } from '../errors';

const amount = z.number().min(0);
const Seed = z.object({
  version: z.literal(1),
  /** How long the counts had been kept. */
  ageMs: amount,
  sets: z.array(
    z.object({ pins: z.array(z.string().min(1)), fast: amount, slow: amount, importMs: amount.optional() }),
  ),
  costs: z.record(z.string(), z.object({ ms: amount, mb: amount, measured: z.boolean() })),
  /** Names that a package needs. */
  requires: z.record(z.string(), z.array(z.string())),
  /** Why a package must not be in a zygote. */
  excluded: z.record(z.string(), z.string()),
});

export type PopularitySeed = z.infer<typeof Seed>;

/** @throws ArgyleError CONFIG_INVALID naming the first field at fault */
export function parseSeed(value: unknown): PopularitySeed {
  const parsed = Seed.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue === undefined || issue.path.length === 0 ? 'seed' : issue.path.map(String).join('.');
  throw new ArgyleError('CONFIG_INVALID', `popularity seed: ${field}: ${issue?.message ?? 'malformed'}`, { field });
}
