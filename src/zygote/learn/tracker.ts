/** Counts cold starts and their costs, and runs the popularity policy on these counts. */
import type { StartKind } from '../../sandbox/types';
import { setId } from '../policy/candidates';
import { CostBook } from '../policy/costs';
import { diff } from '../policy/diff';
import { Ghosts } from '../policy/ghosts';
import { nameOfKey } from '../policy/match';
import { DEFAULT_PARAMS, type PolicyParams } from '../policy/params';
import { desiredTreeSteps } from '../policy/popularity';
import { parseSeed, type PopularitySeed, type TrackerSeed } from './seed';
import { finish, type Steps } from '../policy/steps';
import type { Demand, DesiredTree, ImportCost, LiveZygote, PinKey, ZygoteAction } from '../policy/types';

export interface TrackerOptions {
  readonly params?: PolicyParams;
  /** Half-life of the fast count, in ms; this count follows recent changes. */
  readonly fastHalfLifeMs?: number;
  /** Half-life of the slow count, in ms; this count covers rare sets. */
  readonly slowHalfLifeMs?: number;
  /** Limit for remembered sets; the least requested sets are dropped first. */
  readonly maxSets?: number;
}

/** One cold start of any kind. A resume of a paused instance is no cold start, because no zygote could help. */
export interface StartObservation {
  readonly atMs: number;
  /** Keys of the function's pins, in any order. */
  readonly pins: readonly PinKey[];
  readonly start: StartKind;
  /** Pins of the leaf's zygote; empty for the root and for a fresh process. */
  readonly preimported: readonly PinKey[];
  /** Import time of the handler after the start, in ms; undefined without a report. */
  readonly importMs?: number;
  /** The function, and the time from request to running handler in ms, which a kept instance would have saved. */
  readonly fn?: string;
  readonly coldMs?: number;
  /** Part of coldMs spent on waiting for memory, in ms, and that memory in MB. */
  readonly waitMs?: number;
  readonly waitedForMb?: number;
}

export interface Decision {
  readonly desired: DesiredTree;
  /** Actions from the live zygotes towards `desired`, with a few new zygotes at a time. */
  readonly actions: ZygoteAction[];
}

/** Memory of remembered ghosts, as a share of the budget. */
const GHOST_SHARE = 0.1;

interface Tracked {
  readonly pins: readonly PinKey[];
  fast: number;
  slow: number;
  atMs: number;
  /** Import time without any zygote, in ms. */
  importMs: number | undefined;
}

export class PopularityTracker {
  readonly costs = new CostBook();
  private readonly params: PolicyParams;
  private readonly fastMs: number;
  private readonly slowMs: number;
  private readonly maxSets: number;
  private readonly sets = new Map<string, Tracked>();
  private readonly ghosts: Ghosts;
  private readonly requirements = new Map<PinKey, readonly string[]>();
  /** Reasons by key or by bare name. */
  private readonly exclusions = new Map<string, string>();
  private startMs: number | undefined;
  private changed = 0;
  private readonly starts: Record<StartKind, number> = { fresh: 0, fork: 0, spare: 0 };

  constructor(options: TrackerOptions = {}) {
    this.params = options.params ?? DEFAULT_PARAMS;
    this.fastMs = options.fastHalfLifeMs ?? 10 * 60_000;
    this.slowMs = options.slowHalfLifeMs ?? 120 * 60_000;
    this.maxSets = options.maxSets ?? 4096;
    this.ghosts = new Ghosts(this.fastMs, 0);
  }

  /** Records one cold start. Cheap, because it runs on the request path. */
  observe(start: StartObservation): void {
    this.changed++;
    this.startMs ??= start.atMs;
    this.starts[start.start]++;
    const pins = [...new Set(start.pins)].sort();
    const id = setId(pins);
    const tracked = this.sets.get(id) ?? { pins, fast: 0, slow: 0, atMs: start.atMs, importMs: undefined };
    this.decay(tracked, start.atMs);
    tracked.fast += 1;
    tracked.slow += 1;
    this.sets.set(id, tracked);
    if (this.sets.size > this.maxSets * 1.25) this.forget(start.atMs);
    if (start.fn !== undefined && start.coldMs !== undefined) {
      this.ghosts.started(start.fn, this.unavoidableMs(start, start.coldMs), start.atMs);
    }
    if (start.waitMs !== undefined && start.waitMs > 0) {
      this.ghosts.waited(start.waitMs, start.waitedForMb ?? this.params.rootMb, start.atMs);
    }
    if (start.importMs === undefined) return;
    const already = new Set(start.preimported);
    this.costs.handlerImported(
      pins.filter((key) => !already.has(key)),
      start.importMs,
    );
    if (already.size === 0) tracked.importMs = (tracked.importMs ?? start.importMs) * 0.7 + start.importMs * 0.3;
  }

  /** Records the eviction of an idle instance; see Ghosts. */
  evicted(fn: string, mb: number, atMs: number): void {
    this.ghosts.evicted(fn, mb, atMs);
  }

  /** Records the cost that a zygote measured for one package. */
  imported(key: PinKey, cost: ImportCost): void {
    this.changed++;
    this.costs.measured(key, cost.ms, cost.mb);
  }

  /** Records the names that a package needs, as its installer reported them. */
  requires(key: PinKey, names: readonly string[]): void {
    this.requirements.set(key, names);
  }

  /** Returns the import time of handlers with these sorted pins and no imports by a zygote, in ms. */
  importMsOf(pins: readonly PinKey[]): number | undefined {
    return this.sets.get(setId(pins))?.importMs;
  }

  /** Names that a package needs; undefined when unknown. */
  readonly requiresOf = (key: PinKey): readonly string[] | undefined => this.requirements.get(key);

  /**
   * Excludes a package from all zygotes from now on.
   * @param package key of one version, or a bare name for all versions
   */
  exclude(packageKey: string, reason: string): void {
    this.changed++;
    this.exclusions.set(packageKey, reason);
  }

  get excluded(): ReadonlyMap<string, string> {
    return this.exclusions;
  }

  /** Number of recorded cold starts, by kind. */
  get observed(): Readonly<Record<StartKind, number>> {
    return this.starts;
  }

  /** Counter that grows with every change of the seed. */
  get changes(): number {
    return this.changed;
  }

  /** The demands at `nowMs`, as rates. */
  demands(nowMs: number): Demand[] {
    return finish(this.demandSteps(nowMs));
  }

  private *demandSteps(nowMs: number): Steps<Demand[]> {
    const sinceMs = Math.max(1000, nowMs - (this.startMs ?? nowMs));
    // A count with half-life h converges to rate × h/ln 2. The last factor corrects a count that has run only for
    // sinceMs.
    const perSecond = (halfLifeMs: number): number =>
      (1000 * Math.LN2) / (halfLifeMs * (1 - Math.pow(2, -sinceMs / halfLifeMs)));
    const fast = perSecond(this.fastMs);
    const slow = perSecond(this.slowMs);
    const demands: Demand[] = [];
    for (const tracked of [...this.sets.values()]) {
      yield;
      this.decay(tracked, nowMs);
      const ratePerSec = (tracked.fast * fast + tracked.slow * slow) / 2;
      const { pins, importMs } = tracked;
      demands.push(importMs === undefined ? { pins, ratePerSec } : { pins, ratePerSec, importMs });
    }
    return demands;
  }

  /**
   * Decides which zygotes to hold.
   * @param budgetMb limit for zygotes, replicas and spares together; they get a part of it only where they save more
   *   than paused instances
   * @param live the provider's zygotes, including those that are created or draining
   */
  tick(nowMs: number, budgetMb: number, live: readonly LiveZygote[]): Decision {
    return finish(this.tickSteps(nowMs, budgetMb, () => live));
  }

  /** tick() in steps. `live` is called again at the end, because the live zygotes may have changed. */
  *tickSteps(nowMs: number, budgetMb: number, live: () => readonly LiveZygote[]): Steps<Decision> {
    this.ghosts.capMb = budgetMb * GHOST_SHARE;
    const price = this.ghosts.price(nowMs);
    const params = { ...this.params, priceMsPerSecPerMb: Math.max(price, this.params.priceMsPerSecPerMb) };
    const desired = yield* desiredTreeSteps({
      demands: yield* this.demandSteps(nowMs),
      costOf: this.costs.of,
      requiresOf: this.requiresOf,
      budgetMb,
      live: live(),
      excluded: (key) => this.isExcluded(key),
      params,
    });
    return { desired, actions: ramp(diff(live(), desired), this.params.maxNewPerLook) };
  }

  /** Returns the learnt state for a file; the next worker passes it to restore(). */
  toSeed(nowMs: number): TrackerSeed {
    this.forget(nowMs);
    return {
      version: 1,
      ageMs: nowMs - (this.startMs ?? nowMs),
      sets: [...this.sets.values()].map((tracked) => {
        this.decay(tracked, nowMs);
        const { pins, fast, slow, importMs } = tracked;
        return { pins: [...pins], fast, slow, ...(importMs === undefined ? {} : { importMs }) };
      }),
      costs: Object.fromEntries(this.costs.entries()),
      requires: Object.fromEntries([...this.requirements].map(([key, names]) => [key, [...names]])),
      excluded: Object.fromEntries(this.exclusions),
    };
  }

  /**
   * Restores the learnt state of an earlier worker. The time between both workers does not age the counts.
   * @returns the validated seed. @throws ArgyleError CONFIG_INVALID naming what is malformed
   */
  restore(seed: unknown, nowMs: number): PopularitySeed {
    const parsed = parseSeed(seed);
    this.startMs = nowMs - parsed.ageMs;
    for (const { pins, fast, slow, importMs } of parsed.sets) {
      this.sets.set(setId(pins), { pins, fast, slow, atMs: nowMs, importMs });
    }
    this.costs.load(Object.entries(parsed.costs));
    for (const [key, names] of Object.entries(parsed.requires)) this.requirements.set(key, names);
    for (const [key, reason] of Object.entries(parsed.excluded)) this.exclusions.set(key, reason);
    return parsed;
  }

  /**
   * POLICY: the value of a paused instance assumes zygotes with all packages that they may import for it. With the cost
   * under the current zygotes, few zygotes would make instances valuable, and valuable instances would leave no memory
   * for zygotes.
   */
  private unavoidableMs({ pins, preimported, importMs = 0, waitMs = 0 }: StartObservation, coldMs: number): number {
    const already = new Set(preimported);
    const msOf = (keys: readonly PinKey[]): number => keys.reduce((sum, key) => sum + this.costs.of(key).ms, 0);
    const own = pins.filter((key) => !already.has(key));
    const barred = own.filter((key) => this.isExcluded(key));
    const avoidable = barred.length === 0 ? 1 : 1 - msOf(barred) / (msOf(own) || 1);
    return Math.max(0, coldMs - waitMs - importMs * avoidable);
  }

  /** Whether a package is excluded from zygotes. */
  isExcluded(key: PinKey): boolean {
    return this.exclusions.has(key) || this.exclusions.has(nameOfKey(key));
  }

  private decay(tracked: Tracked, nowMs: number): void {
    const passedMs = Math.max(0, nowMs - tracked.atMs);
    tracked.fast *= Math.pow(2, -passedMs / this.fastMs);
    tracked.slow *= Math.pow(2, -passedMs / this.slowMs);
    tracked.atMs = Math.max(nowMs, tracked.atMs);
  }

  /** Keeps the most requested sets and the knowledge about their packages. */
  private forget(nowMs: number): void {
    const kept = [...this.sets];
    for (const [, tracked] of kept) this.decay(tracked, nowMs);
    kept.sort(([, a], [, b]) => b.slow - a.slow);
    for (const [id] of kept.splice(this.maxSets)) this.sets.delete(id);
    const wanted = new Set(kept.flatMap(([, tracked]) => tracked.pins));
    this.costs.prune(wanted);
    for (const key of this.requirements.keys()) if (!wanted.has(key)) this.requirements.delete(key);
  }
}

/**
 * POLICY: a few zygotes are started per look, most valuable first (diff() keeps the order of selection). Memory is then
 * not taken long before its use, and later zygotes profit from the measurements of the first ones.
 */
function ramp(actions: readonly ZygoteAction[], maxNew: number): ZygoteAction[] {
  const later = new Set(
    actions
      .filter(({ kind }) => kind === 'create')
      .slice(maxNew)
      .map(({ id }) => id),
  );
  return actions.filter(({ id }) => !later.has(id));
}
