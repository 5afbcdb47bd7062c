/** Selects installed packages to delete when they exceed the disk limit. Pure: no clock and no disk. */
import type { StoredPackage } from './store';

/** Packages requested within this time stay, ms, since their function may not have a sandbox yet. */
export const MIN_IDLE_MS = 60_000;

/**
 * POLICY: deletes the least recently used packages first, until the rest fits. Packages that functions of this worker
 * use are never deleted, even if the limit is exceeded.
 * @param packages all installed packages
 * @param maxBytes limit of their total size; 0 for none
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
