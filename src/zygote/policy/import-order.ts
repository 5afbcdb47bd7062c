/** The order of imports. Pure. */
import { nameOfKey } from './match';
import type { PinKey, RequiresOf } from './types';

/** Sorts dependencies first, so that each package's measurement contains only its own cost. */
export function dependenciesFirst(keys: readonly PinKey[], requiresOf: RequiresOf): PinKey[] {
  const byName = new Map(keys.map((key) => [nameOfKey(key), key]));
  const done = new Set<PinKey>();
  const seen = new Set<PinKey>();
  const visit = (key: PinKey): void => {
    if (seen.has(key)) return;
    seen.add(key);
    for (const name of requiresOf(key) ?? []) {
      const needed = byName.get(name);
      if (needed !== undefined) visit(needed);
    }
    done.add(key);
  };
  keys.forEach(visit);
  return [...done];
}
