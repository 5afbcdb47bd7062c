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

/**
 * Picks victims until `neededMb` are covered, or all if they do not suffice.
 *
 * POLICY: pauses first, longest idle first, since a paused instance is back in well under a ms. Then whatever saves the
 * fewest expected ms per MB. Candidates that free nothing are never picked. Callers leave out whatever serves a request.
 */
export function chooseVictims<T extends Candidate>(candidates: readonly T[], neededMb: number): T[] {
  const useful = candidates.filter((candidate) => candidate.freesMb > 0);
  const pauses = useful.filter(({ action }) => action === 'pause').sort((a, b) => b.idleMs - a.idleMs);
  const destroys = useful
    .filter(({ action }) => action === 'destroy')
    .map((candidate) => ({ candidate, value: worth(candidate) }))
    .sort((a, b) => a.value - b.value || b.candidate.idleMs - a.candidate.idleMs)
    .map(({ candidate }) => candidate);
  const victims: T[] = [];
  let freedMb = 0;
  for (const candidate of [...pauses, ...destroys]) {
    if (freedMb >= neededMb) break;
    victims.push(candidate);
    freedMb += candidate.freesMb;
  }
  return victims;
}
