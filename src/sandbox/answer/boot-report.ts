/**
 * The boot report of a leaf: a header field of the first answer, which the worker removes before a client sees the
 * answer.
 */

/** Used between the worker and its guest only (docs/guest-protocol.md). */
export const BOOT_HEADER = 'x-argyle-boot';

/**
 * POLICY: limits for an untrusted report. An honest leaf reports the packages that it imported and at most 64
 * submodules of each package (guest/apps/entry.py).
 */
const MAX_MODULES = 1024;
const MAX_SPECS = 256;
const MAX_SUBMODULES = 64;
/** Limit for a name, in characters; a spec is no longer than a line of requirements.txt. */
const MAX_NAME = 256;

/** Limit for the import time: 24 hours in ms. Larger values are cut, so that sums stay finite. */
const MAX_IMPORT_MS = 24 * 3600 * 1000;

export interface BootInfo {
  /** Import time of the handler, in ms. */
  importMs: number;
  /** Top-level modules of installed packages that the handler has loaded. */
  modules: string[];
  /**
   * Submodules that the handler loaded from packages that its zygote had imported, by spec; only with LeafBoot.learn.
   */
  submodules?: Record<string, string[]>;
}

/** Parses a report, which is untrusted. Returns undefined for a malformed report; drops items above a limit. */
export function parseBootReport(text: string): BootInfo | undefined {
  try {
    const report = JSON.parse(text) as { import_ms?: unknown; modules?: unknown; submodules?: unknown };
    const { import_ms: importMs, modules, submodules } = report;
    if (typeof importMs !== 'number' || !Number.isFinite(importMs) || importMs < 0) return undefined;
    const info = { importMs: Math.min(importMs, MAX_IMPORT_MS), modules: names(modules, MAX_MODULES) };
    if (typeof submodules !== 'object' || submodules === null) return info;
    const bySpec = Object.entries(submodules)
      .filter(([spec]) => spec.length <= MAX_NAME)
      .slice(0, MAX_SPECS)
      .map(([spec, listed]) => [spec, names(listed, MAX_SUBMODULES)] as const);
    return { ...info, submodules: Object.fromEntries(bySpec) };
  } catch {
    return undefined;
  }
}

/** Filters a guest's list: keeps strings that are not longer than MAX_NAME, at most `most` of them. */
export function names(value: unknown, most: number): string[] {
  if (!Array.isArray(value)) return [];
  return value.filter((item): item is string => typeof item === 'string' && item.length <= MAX_NAME).slice(0, most);
}
