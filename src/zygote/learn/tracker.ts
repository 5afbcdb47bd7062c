/** Learns from cold starts what the popularity policy needs, and runs the policy on it. */
import type { StartKind } from '../../sandbox/types';
import { CostBook } from '../policy/costs';
import { diff } from '../policy/diff';
import { Ghosts } from '../policy/ghosts';
import { DEFAULT_PARAMS, type PolicyParams } from '../policy/params';
import { desiredTreeSteps } from '../policy/popularity';
import { DemandCounts, type DemandCountsOptions } from './demand-counts';
import { PackageBook } from './package-book';
import { parseSeed, type PopularitySeed, type TrackerSeed } from './seed';
import { finish, type Steps } from '../policy/steps';
import type { Demand, DesiredTree, ImportCost, LiveZygote, PinKey, ZygoteAction } from '../policy/types';

export interface TrackerOptions extends DemandCountsOptions {
  readonly params?: PolicyParams;
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
  /**
   * The function. coldMs is the time from request to running handler, in ms; a kept instance would have saved this
   * time.
   */
  readonly fn?: string;
  readonly coldMs?: number;
  /** Part of coldMs that was a wait for memory, in ms. waitedForMb is the missing memory, in MB. */
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

export class PopularityTracker {
  readonly costs = new CostBook();
  readonly packages = new PackageBook();
  private readonly params: PolicyParams;
  private readonly counts: DemandCounts;
  private readonly ghosts: Ghosts;
  private changed = 0;
  private readonly starts: Record<StartKind, number> = { fresh: 0, fork: 0, spare: 0 };

  constructor(options: TrackerOptions = {}) {
    this.params = options.params ?? DEFAULT_PARAMS;
    this.counts = new DemandCounts(options);
    this.ghosts = new Ghosts(this.counts.fastMs, 0);
  }

  /** Records one cold start. Cheap, because it runs on the request path. */
  observe(start: StartObservation): void {
    this.changed++;
    this.starts[start.start]++;
    const pins = [...new Set(start.pins)].sort();
    const already = new Set(start.preimported);
    this.counts.add(pins, start.atMs, already.size === 0 ? start.importMs : undefined);
    if (this.counts.isFull) this.forget(start.atMs);
    if (start.fn !== undefined && start.coldMs !== undefined) {
      this.ghosts.started(start.fn, this.unavoidableMs(start, start.coldMs), start.atMs);
    }
    if (start.waitMs !== undefined && start.waitMs > 0) {
      this.ghosts.waited(start.waitMs, start.waitedForMb ?? this.params.rootMb, start.atMs);
    }
    if (start.importMs === undefined) return;
    this.costs.handlerImported(
      pins.filter((key) => !already.has(key)),
      start.importMs,
    );
  }

  /** Records that a function with these pins was deployed; see DemandCounts. */
  deployed(pins: readonly PinKey[], atMs: number): void {
    this.changed++;
    this.counts.expect([...new Set(pins)].sort(), atMs);
    if (this.counts.isFull) this.forget(atMs);
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

  /** Excludes a package from all zygotes; see PackageBook. */
  exclude(packageKey: string, reason: string): void {
    this.changed++;
    this.packages.exclude(packageKey, reason);
  }

  /** Returns the import time of handlers with these sorted pins and no imports by a zygote, in ms. */
  importMsOf(pins: readonly PinKey[]): number | undefined {
    return this.counts.importMsOf(pins);
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
    return finish(this.counts.demandSteps(nowMs));
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
      demands: yield* this.counts.demandSteps(nowMs),
      costOf: this.costs.of,
      requiresOf: this.packages.requiresOf,
      budgetMb,
      live: live(),
      excluded: (key) => this.packages.isExcluded(key),
      params,
    });
    return { desired, actions: ramp(diff(live(), desired), this.params.maxNewPerLook) };
  }

  /** Returns the learnt state for a file; the next worker passes it to restore(). */
  toSeed(nowMs: number): TrackerSeed {
    this.forget(nowMs);
    const { required, excluded, specs } = this.packages;
    return {
      version: 1,
      ...this.counts.toSeed(nowMs),
      costs: Object.fromEntries(this.costs.entries()),
      requires: Object.fromEntries([...required].map(([key, names]) => [key, [...names]])),
      excluded: Object.fromEntries(excluded),
      specs,
    };
  }

  /**
   * Restores the learnt state of an earlier worker. The time between both workers does not age the counts.
   * @returns the validated seed. @throws ArgyleError CONFIG_INVALID naming what is malformed
   */
  restore(seed: unknown, nowMs: number): PopularitySeed {
    const parsed = parseSeed(seed);
    this.counts.restore(parsed, nowMs);
    this.costs.load(Object.entries(parsed.costs));
    for (const [key, names] of Object.entries(parsed.requires)) this.packages.requires(key, names);
    for (const [key, reason] of Object.entries(parsed.excluded)) this.packages.exclude(key, reason);
    return parsed;
  }

  /**
   * POLICY: the value of a paused instance is the duration of a cold start from an ideal zygote, which has imported
   * every package that it may import for the function. The cold start under the current zygotes is not the measure:
   * while few zygotes exist, instances would seem valuable and would leave no memory for zygotes.
   */
  private unavoidableMs({ pins, preimported, importMs = 0, waitMs = 0 }: StartObservation, coldMs: number): number {
    const already = new Set(preimported);
    const msOf = (keys: readonly PinKey[]): number => keys.reduce((sum, key) => sum + this.costs.of(key).ms, 0);
    const own = pins.filter((key) => !already.has(key));
    const barred = own.filter((key) => this.packages.isExcluded(key));
    const avoidable = barred.length === 0 ? 1 : 1 - msOf(barred) / (msOf(own) || 1);
    return Math.max(0, coldMs - waitMs - importMs * avoidable);
  }

  /** Keeps the most requested sets and the knowledge about their packages. */
  private forget(nowMs: number): void {
    const wanted = this.counts.forget(nowMs);
    this.costs.prune(wanted);
    this.packages.prune(wanted);
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
