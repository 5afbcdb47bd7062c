/** What a leaf reports with its first answer, in a field of its own that no client sees. */

/** Between the worker and its guest only (docs/guest-protocol.md). */
export const BOOT_HEADER = 'x-argyle-boot';

/** POLICY: an honest leaf names the packages that it imported, and at most 64 submodules of each (guest/entry.py). */
const MAX_MODULES = 1024;
const MAX_SPECS = 256;
const MAX_SUBMODULES = 64;
/** Characters of one name; specs are no longer than a line of requirements.txt. */
const MAX_NAME = 256;

/** A day; longer imports are cut to that, so that sums stay numbers. */
const MAX_IMPORT_MS = 24 * 3600 * 1000;

export interface BootInfo {
  /** Time that the handler's import took, ms. */
  importMs: number;
  /** Top-level modules of installed packages that the handler has loaded. */
  modules: string[];
  /** Submodules that it loaded, of packages which its zygote had imported, by spec; only when it was told to learn. */
  submodules?: Record<string, string[]>;
}

/** The report is the guest's word: anything malformed counts as none, and what exceeds a bound is left out. */
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

/** The strings of a list that a guest sent, at most so many, without those that are too long for a name. */
export function names(value: unknown, most: number): string[] {
  if (!Array.isArray(value)) return [];
  return value.filter((item): item is string => typeof item === 'string' && item.length <= MAX_NAME).slice(0, most);
}
