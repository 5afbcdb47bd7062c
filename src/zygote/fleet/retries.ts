/** Back-off before a failed or dead zygote is made again. Pure. */
import { ArgyleError } from '../../errors';

/** Back-off after a failed creation, in ms; doubles up to the maximum. */
const BACKOFF_MS = 1000;
const BACKOFF_MAX_MS = 300_000;
/** Age below which a zygote's death counts as early, in ms. The next zygote may die of the same cause. */
export const STEADY_MS = 10_000;
/** Back-off after the second consecutive early death, in ms; doubles up to the maximum. */
const DEATH_BACKOFF_MS = 250;
const DEATH_BACKOFF_MAX_MS = 30_000;
/** Back-off when there was no helper, in ms. The next attempt waits for a helper. */
export const NO_HELPER_RETRY_MS = 20;

/**
 * POLICY: a zygote that was made for a burst is held for this time, in ms. In this time the popularity policy learns of
 * the burst.
 */
export const HELD_MS = 10_000;

/** Whether a creation failed because there was no helper; the zygote is not the cause. */
export function wantsHelper(error: unknown): boolean {
  return error instanceof ArgyleError && (error.code === 'HELPER_GONE' || error.code === 'HELPER_START');
}

/**
 * Returns the back-off after a failed creation, in ms.
 * @param before number of consecutive failures before this one
 */
export function waitAfterFailure(before: number): number {
  return Math.min(BACKOFF_MS * 2 ** before, BACKOFF_MAX_MS);
}

/**
 * Returns the back-off after early deaths, in ms.
 * @param deaths number of consecutive early deaths; the first death has no back-off
 */
export function waitAfterDeath(deaths: number): number {
  return deaths < 2 ? 0 : Math.min(DEATH_BACKOFF_MS * 2 ** (deaths - 2), DEATH_BACKOFF_MAX_MS);
}
