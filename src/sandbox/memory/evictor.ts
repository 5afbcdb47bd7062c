/** Selects the victims when memory is short. Pure. */

export interface Candidate {
  id: string;
  /** The function of the candidate; absent when the candidate serves all functions. */
  fn?: string | undefined;
  /**
   * `pause` freezes an idle running instance; its charge falls from its limit to the memory in use. `destroy` ends a
   * paused instance, a spare or an idle zygote.
   */
  action: 'pause' | 'destroy';
  /** Memory that the action frees, in MB. */
  freesMb: number;
  /** Cold-start time that the next use saves when the candidate is kept, in ms; 0 when unknown. */
  savesMs: number;
  /** Time since the last use, in ms. */
  idleMs: number;
  /**
   * Set for a candidate that is kept for later use. Such candidates are evicted after all others: spares first, then
   * zygotes, then instances of a function's scale.min.
   */
  keptAs?: 'spare' | 'zygote' | 'minimum' | undefined;
}

/**
 * Assumed saving when no cold start was measured, in ms. Unknown candidates are then comparable, and LRU decides among
 * them.
 */
const UNKNOWN_SAVES_MS = 10;
/** Idle time that halves the assumed probability of a use, in ms. The model assumes that uses come in bursts. */
const HALF_LIFE_MS = 10_000;

/** Expected saving per MB when the candidate is kept, in ms per MB: the saving, discounted by the idle time. */
export function worth(candidate: Candidate): number {
  const chance = HALF_LIFE_MS / (HALF_LIFE_MS + candidate.idleMs);
  return ((candidate.savesMs || UNKNOWN_SAVES_MS) * chance) / Math.max(candidate.freesMb, 0.25);
}

/** Order of the kinds of victims; see chooseVictims(). */
const ORDER = { pause: 0, instance: 1, spare: 2, zygote: 3, minimum: 4 } as const;

function orderOf({ action, keptAs }: Candidate): number {
  return action === 'pause' ? ORDER.pause : ORDER[keptAs ?? 'instance'];
}

/**
 * Picks victims until `neededMb` are covered; returns all candidates when they do not suffice.
 *
 * POLICY: the order of the victims is:
 * 1. Pauses, longest idle first, because a paused instance resumes in less than 1 ms.
 * 2. Instances, fewest expected ms saved per MB first.
 * 3. Spares, then zygotes, by the same measure. The price of memory (zygote/policy/ghosts.ts) already limits their
 *    number, and the policy would soon replace an evicted spare or zygote.
 * 4. Instances that a function's ol.yaml keeps (scale.min).
 *
 * A mixed order of these kinds measured worse, see docs/adr/0004. Candidates that free no memory are never picked.
 * Callers pass no candidate that serves a request.
 */
export function chooseVictims<T extends Candidate>(candidates: readonly T[], neededMb: number): T[] {
  const ordered = candidates
    .filter((candidate) => candidate.freesMb > 0)
    .map((candidate) => ({
      candidate,
      order: orderOf(candidate),
      value: candidate.action === 'pause' ? -candidate.idleMs : worth(candidate),
    }))
    .sort((a, b) => a.order - b.order || a.value - b.value || b.candidate.idleMs - a.candidate.idleMs)
    .map(({ candidate }) => candidate);
  const victims: T[] = [];
  let freedMb = 0;
  for (const candidate of ordered) {
    if (freedMb >= neededMb) break;
    victims.push(candidate);
    freedMb += candidate.freesMb;
  }
  return victims;
}
