/** Finds the known name that is nearest to a misspelled one. Pure. */

/** Number of edits (insert, delete or replace one character) that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** Longest compared name, in characters. The time of a comparison grows with the product of both lengths. */
const MAX_LENGTH = 64;

/**
 * Returns the name with the fewest edits. A name with the same first three characters counts as four edits nearer. If
 * the first word of `name` is shorter, only this word must be the same.
 */
export function nearest(name: string, names: readonly string[]): string {
  const wanted = name.slice(0, MAX_LENGTH).toLowerCase().replaceAll('-', '_');
  const [stem = ''] = wanted.split('_');
  const score = (known: string): number => editDistance(wanted, known) - (known.startsWith(stem.slice(0, 3)) ? 4 : 0);
  return [...names].sort((a, b) => score(a) - score(b))[0] ?? '';
}
