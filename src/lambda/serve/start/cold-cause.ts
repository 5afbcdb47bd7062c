/** Why a function needed a new instance, as one word. */
import type { End } from '../../../sandbox/life';

/**
 * - `first`: the function had no instance since the worker started;
 * - `busy`: all instances were busy, or pending for other requests;
 * - `once`: each call has its own instance (`reuse-sandbox: false`);
 * - `code`: the earlier instances ran an older version of the code;
 * - `evicted`: the last instance was evicted;
 * - `helper`: the last instance ended with the sandbox helper;
 * - `ended`: the last instance crashed, reached a limit, or lost its client in the middle of an answer.
 */
export type ColdCause = 'first' | 'busy' | 'once' | 'code' | Departure;

/** How an instance ended. */
export type Departure = 'evicted' | 'helper' | 'ended';

/** @param end the end of the instance's sandbox; undefined while the sandbox lives */
export function departureOf(end: End | undefined): Departure {
  if (end?.by === 'eviction') return 'evicted';
  return end?.by === 'helper' ? 'helper' : 'ended';
}

/** Remembers how the last instance of one function ended. */
export class ColdCauses {
  private last: ColdCause = 'first';

  /** Records the end of an instance. `code`: the instance ran an older version. */
  gone(how: Departure | 'code'): void {
    this.last = how;
  }

  /**
   * The reason for starting an instance now.
   * @param reuse whether an instance serves more than one call
   * @param others number of existing and pending instances
   */
  now(reuse: boolean, others: number): ColdCause {
    if (!reuse) return 'once';
    return others > 0 ? 'busy' : this.last;
  }
}
