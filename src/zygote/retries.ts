/** When a zygote that failed or died is made again. Pure. */
import { ArgyleError } from '../errors';

/** Wait after a failed creation, ms; doubles up to the maximum. */
const BACKOFF_MS = 1000;
const BACKOFF_MAX_MS = 300_000;
/** A zygote that died before it was this old may do so again, ms. */
export const STEADY_MS = 10_000;
/** Wait after the second such death in a row, ms; doubles up to the maximum. */
const DEATH_BACKOFF_MS = 250;
const DEATH_BACKOFF_MAX_MS = 30_000;
/** Where there was no helper for it, the next attempt waits for one; ms until that. */
export const NO_HELPER_RETRY_MS = 20;

/** Whether a zygote failed for want of a helper, which says nothing about the zygote. */
export function wantsHelper(error: unknown): boolean {
  return error instanceof ArgyleError && (error.code === 'HELPER_GONE' || error.code === 'HELPER_START');
}

/** Wait after a failed creation, ms. @param before failures in a row before this one */
export function waitAfterFailure(before: number): number {
  return Math.min(BACKOFF_MS * 2 ** before, BACKOFF_MAX_MS);
}

/** Wait after early deaths, ms. @param deaths how many there were in a row; the first one has no wait */
export function waitAfterDeath(deaths: number): number {
  return deaths < 2 ? 0 : Math.min(DEATH_BACKOFF_MS * 2 ** (deaths - 2), DEATH_BACKOFF_MAX_MS);
}
