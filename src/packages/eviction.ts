/** Which installed packages to delete when they use more disk than allowed: pure, no clock and no disk. */
import type { StoredPackage } from './store';

/** A package that was asked for so recently stays: its function may not have a sandbox yet. */
export const MIN_IDLE_MS = 60_000;

/**
 * POLICY: least recently used first, until the rest fits. Packages that functions of this worker hold are never taken,
 * even when the limit cannot be met without them.
 * @param packages everything installed
 * @param maxBytes the limit on their sum; 0 for none
 * @param inUse specs that must stay
 * @returns the specs to delete, in order
 */
export function selectEvictions(
  packages: readonly StoredPackage[],
  maxBytes: number,
  inUse: ReadonlySet<string>,
  nowMs: number,
): string[] {
  let total = packages.reduce((sum, { bytes }) => sum + bytes, 0);
  const chosen: string[] = [];
  if (maxBytes <= 0) return chosen;
  const candidates = packages
    .filter(({ spec, lastUsedMs }) => !inUse.has(spec) && nowMs - lastUsedMs >= MIN_IDLE_MS)
    .sort((a, b) => a.lastUsedMs - b.lastUsedMs || a.spec.localeCompare(b.spec));
  for (const { spec, bytes } of candidates) {
    if (total <= maxBytes) break;
    chosen.push(spec);
    total -= bytes;
  }
  return chosen;
}
