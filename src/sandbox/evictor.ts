/** Which memory holders go when memory is short. Pure. */

export interface Candidate {
  id: string;
  /**
   * `pause` freezes an idle running instance, which is then charged what it uses instead of its limit;
   * `destroy` ends a paused instance, a spare or an idle zygote.
   */
  action: 'pause' | 'destroy';
  /** MB that the action gives back. */
  freesMb: number;
  /** Cold-start ms that holding it would save at its next use; 0 when unknown. */
  savesMs: number;
  /** ms since it was last used. */
  idleMs: number;
  /** What it serves, if others than itself: it then goes after all that is not kept ahead, spares before zygotes. */
  keptAs?: 'spare' | 'zygote';
}

/** What a cold start costs when nobody measured it, ms: keeps unknown holders comparable, so LRU decides. */
const UNKNOWN_SAVES_MS = 10;
/** Idle time that halves the chance of a use in the next moment, ms. Uses are assumed to come in bursts. */
const HALF_LIFE_MS = 10_000;

/** Expected ms saved per MB by holding it: its saving, discounted by how long nobody asked for it. */
export function worth(candidate: Candidate): number {
  const chance = HALF_LIFE_MS / (HALF_LIFE_MS + candidate.idleMs);
  return ((candidate.savesMs || UNKNOWN_SAVES_MS) * chance) / Math.max(candidate.freesMb, 0.25);
}

/** In which order kinds of victims go; see chooseVictims(). */
const ORDER = { pause: 0, instance: 1, spare: 2, zygote: 3 } as const;

function orderOf({ action, keptAs }: Candidate): number {
  return action === 'pause' ? ORDER.pause : ORDER[keptAs ?? 'instance'];
}

/**
 * Picks victims until `neededMb` are covered, or all if they do not suffice.
 *
 * POLICY: pauses first, longest idle first, since a paused instance is back in well under a ms. Then the instances that
 * save the fewest expected ms per MB. Spares and zygotes go last, by the same measure: how many there are has been
 * weighed against instances already, by the price of memory (zygote/ghosts.ts), and what went here would be made again
 * at the next look. Mixing them measured worse, see docs/adr/0004. Candidates that free nothing are never picked.
 * Callers leave out whatever serves a request.
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
