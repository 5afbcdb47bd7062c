/** "Did you mean …": finds the known name that is closest to a misspelt one. Pure. */
import { editDistance } from '../lambda/code/intake/nearest';

/** POLICY: at most a third of the characters may differ, so that unrelated names are never suggested. */
const LARGEST_SHARE = 1 / 3;

/** Shortest name that gets a suggestion. A shorter name is one edit away from almost any other short name. */
const SHORTEST = 3;

/** The name with the fewest edits; undefined when no name is close enough. */
export function closest(name: string, names: readonly string[]): string | undefined {
  if (name.length < SHORTEST) return undefined;
  const bound = Math.max(1, Math.floor(name.length * LARGEST_SHARE));
  const scored = names.map((known) => ({ known, edits: editDistance(name, known) }));
  const best = scored.filter(({ edits }) => edits <= bound).sort((a, b) => a.edits - b.edits)[0];
  return best?.known;
}
