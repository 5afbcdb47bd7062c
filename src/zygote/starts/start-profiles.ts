/**
 * The queue's knowledge about starts: the costs of packages, and the zygotes that exist, are being made or could be
 * made.
 */
import { availableParallelism, loadavg } from 'node:os';
import type { MemoryPool } from '../../sandbox/memory/memory-pool';
import type { PackageImport } from '../../sandbox/types';
import { setId, without } from '../policy/candidates';
import type { Group, ZygoteGroups } from '../fleet/groups';
import { lookupPins } from '../policy/lookup';
import { dependenciesFirst } from '../policy/import-order';
import { below, ROOT } from '../plan-tree';
import type { PopularityTracker } from '../learn/tracker';
import type { PackagePin, PinKey } from '../policy/types';
import type { StartProfile, StartEstimate } from './queue';

export interface StartProfilesOptions {
  readonly groups: ZygoteGroups;
  readonly tracker: PopularityTracker;
  readonly pool: Pick<MemoryPool, 'hasRoom'>;
  /** Whether zygotes may be made for a burst. A static tree has only its configured zygotes. */
  readonly makes: boolean;
}

/** Cost of a start without imports, in ms: of a fresh Python, of a fork, and of a zygote with its warm-up requests. */
export const FRESH_MS = 20;
export const FORK_MS = 2;
export const ZYGOTE_START_MS = 40;
/**
 * POLICY: assumed import time of an unmeasured package, and largest assumed import time of one function, in ms. Both
 * values are high, so that an expensive start is not estimated like a fork. The first start corrects them.
 */
const GUESS_MS = 40;
const MOST_GUESSED_MS = 400;
/**
 * POLICY: starts stop waiting for a zygote after LATE_TIMES times its expected time plus LATE_MORE_MS, in ms. On a
 * loaded machine the limit is multiplied by the load per processor, because separate starts would be even slower.
 */
const LATE_TIMES = 4;
const LATE_MORE_MS = 500;
/** Expected time until a new helper runs, in ms; added for a zygote that died, possibly with its helper. */
const NO_HELPER_MS = 500;
/** POLICY: minimum saving of a zygote that is made for a burst, in ms. */
const WORTH_MS = 20;
/** Memory of a zygote without its packages, in MB. */
const ZYGOTE_MB = 12;
/** Limit for remembered profiles. */
const MEMO = 1024;

export class StartProfiles {
  private readonly kinds = new Map<string, PackageKind>();

  constructor(private readonly options: StartProfilesOptions) {}

  /**
   * Returns the profile that all starts with these packages share.
   * @param pins pins of `packages`, as used for matching zygotes
   * @param others number of the function's packages that no zygote may import for it
   */
  of(pins: readonly PackagePin[], packages: readonly PackageImport[], others: number): StartProfile {
    const id = `${setId(pins.map(({ key, spec }) => `${key} ${spec}`).sort())} +${others}`;
    let kind = this.kinds.get(id);
    if (kind === undefined) {
      if (this.kinds.size >= MEMO) this.kinds.clear();
      kind = new PackageKind(id, pins, packages, others, this.options);
      this.kinds.set(id, kind);
    }
    return kind;
  }
}

class PackageKind implements StartProfile {
  private readonly wanted: ReadonlySet<PinKey>;
  private readonly imports: ReadonlyMap<PinKey, PackageImport>;
  /** Keys of the pins, sorted. */
  private readonly keys: readonly PinKey[];

  constructor(
    readonly id: string,
    pins: readonly PackagePin[],
    packages: readonly PackageImport[],
    private readonly others: number,
    private readonly options: StartProfilesOptions,
  ) {
    const bySpec = new Map(packages.map((found) => [found.spec, found]));
    const imports = new Map<PinKey, PackageImport>();
    for (const { key, spec } of pins) {
      const found = bySpec.get(spec);
      if (found !== undefined) imports.set(key, found);
    }
    this.imports = imports;
    this.keys = pins.map(({ key }) => key).sort();
    this.wanted = new Set(this.keys);
  }

  estimate(): StartEstimate {
    const best = this.best();
    const ownMs = this.leftMs(best?.spec.pins);
    const coming = this.coming(ownMs);
    if (coming !== undefined || !this.options.makes) return { ownMs, coming };
    const more = this.possible(best, ownMs);
    if (more === undefined) return { ownMs };
    return {
      ownMs,
      possible: { inMs: ZYGOTE_START_MS + this.importMs(more), ownMs: this.leftMs(this.above(best, more)) },
    };
  }

  async makeZygote(): Promise<void> {
    const best = this.best();
    const more = this.possible(best, this.leftMs(best?.spec.pins));
    if (more === undefined) return;
    const imports = new Map<PinKey, PackageImport>();
    for (const key of dependenciesFirst(more, this.options.tracker.packages.requiresOf)) {
      const found = this.imports.get(key);
      if (found !== undefined) imports.set(key, found);
    }
    await this.options.groups.prioritize(below(best?.spec ?? ROOT, imports));
  }

  private best(): Group | undefined {
    const { groups, tracker } = this.options;
    return lookupPins(groups.forkable(), this.wanted, tracker.costs.of)?.zygote;
  }

  /** Returns the best zygote that is being made, if it is not late and is better than the existing zygotes. */
  private coming(ownMs: number): StartEstimate['coming'] {
    const { groups, tracker } = this.options;
    const group = lookupPins(groups.coming(), this.wanted, tracker.costs.of)?.zygote;
    if (group === undefined) return undefined;
    const leftMs = this.leftMs(group.spec.pins);
    if (leftMs >= ownMs) return undefined;
    const zygoteMs = ZYGOTE_START_MS + this.importMs([...group.spec.imports.keys()]) + (group.lost ? NO_HELPER_MS : 0);
    const passedMs = performance.now() - group.startedAtMs;
    if (passedMs > (LATE_TIMES * zygoteMs + LATE_MORE_MS) * crowding()) return undefined;
    return { inMs: Math.max(5, zygoteMs - passedMs), ownMs: leftMs };
  }

  /**
   * Returns the packages that a new zygote for this profile would import in addition to the best zygote's; undefined
   * when no zygote should be made.
   */
  private possible(best: Group | undefined, ownMs: number): PinKey[] | undefined {
    const { groups, tracker, pool } = this.options;
    const pins = without(this.keys, (key) => tracker.packages.isExcluded(key), tracker.packages.requiresOf);
    const has = new Set(best?.spec.pins);
    const more = pins.filter((key) => !has.has(key) && this.imports.has(key));
    const all = this.above(best, more);
    if (ownMs - this.leftMs(all) < WORTH_MS || !groups.mayMake(setId(all))) return undefined;
    const mb = more.reduce((sum, key) => sum + tracker.costs.of(key).mb, ZYGOTE_MB);
    return pool.hasRoom(mb) ? more : undefined;
  }

  private above(best: Group | undefined, more: readonly PinKey[]): PinKey[] {
    return [...(best?.spec.pins ?? []), ...more].sort();
  }

  /** Estimates a start from a zygote with these pins, in ms; `pins` undefined means a fresh start. */
  private leftMs(pins: readonly PinKey[] | undefined): number {
    const has = new Set(pins);
    const left = this.keys.filter((key) => !has.has(key));
    let ms = this.importMs(left);
    // A handler may import fewer packages than its requirements list.
    const seenMs = this.options.tracker.importMsOf(this.keys);
    if (seenMs !== undefined) ms = Math.min(ms, Math.max(0, seenMs - this.importMs([...has])));
    const others = Math.min(MOST_GUESSED_MS, this.others * GUESS_MS);
    return (pins === undefined ? FRESH_MS : FORK_MS) + ms + others;
  }

  private importMs(keys: readonly PinKey[]): number {
    const { costs } = this.options.tracker;
    let ms = 0;
    let guessed = 0;
    for (const key of keys) {
      if (costs.isKnown(key)) ms += costs.of(key).ms;
      else guessed += GUESS_MS;
    }
    return ms + Math.min(MOST_GUESSED_MS, guessed);
  }
}

/** Runnable tasks per processor, from the kernel's load average; at least 1. */
function crowding(): number {
  return Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
}

/**
 * Returns the profile of fresh starts without zygotes.
 * @param packages number of the function's packages
 * @param seenMs measured import time, in ms
 */
export function freshProfile(packages: number, seenMs = Math.min(MOST_GUESSED_MS, packages * GUESS_MS)): StartProfile {
  const ownMs = FRESH_MS + seenMs;
  return { id: `fresh ${ownMs}`, estimate: () => ({ ownMs }), makeZygote: () => Promise.resolve() };
}
