/** Remembers what was asked for and what it cost, and asks the popularity policy what to do about it. */
import type { StartKind } from '../sandbox/types';
import { setId } from './candidates';
import { CostBook } from './costs';
import { diff } from './diff';
import { Ghosts } from './ghosts';
import { nameOfKey } from './match';
import { DEFAULT_PARAMS, type PolicyParams } from './params';
import { desiredTreeSteps } from './popularity';
import { parseSeed, type PopularitySeed } from './seed';
import { finish, type Steps } from './steps';
import type { Demand, DesiredTree, ImportCost, LiveZygote, PinKey, ZygoteAction } from './types';

export interface TrackerOptions {
  readonly params?: PolicyParams;
  /** Half-life of the quick count, which notices what has just become popular. */
  readonly fastHalfLifeMs?: number;
  /** Half-life of the slow count, which remembers the long tail. */
  readonly slowHalfLifeMs?: number;
  /** Sets that are remembered; the least asked for go first. */
  readonly maxSets?: number;
}

/** One cold start, however it was served. Starts of paused instances are none: no zygote could have helped. */
export interface StartObservation {
  readonly atMs: number;
  /** Keys of the lambda's pins, in any order. */
  readonly pins: readonly PinKey[];
  readonly start: StartKind;
  /** Pins of the zygote that it was forked from; empty for the root and for a fresh process. */
  readonly preimported: readonly PinKey[];
  /** What the handler then spent on its own imports; undefined when it did not report. */
  readonly importMs?: number;
  /** The function, and ms from request to running handler: what keeping an instance would have saved. */
  readonly fn?: string;
  readonly coldMs?: number;
  /** Part of coldMs that was spent waiting for that much memory. */
  readonly waitMs?: number;
  readonly waitedForMb?: number;
}

export interface Decision {
  readonly desired: DesiredTree;
  /** What leads there from what lives, a few new zygotes at a time. */
  readonly actions: ZygoteAction[];
}

/** Ghosts of evicted instances are remembered for this share of the budget. */
const GHOST_SHARE = 0.1;

interface Tracked {
  readonly pins: readonly PinKey[];
  fast: number;
  slow: number;
  atMs: number;
  /** Import ms with nothing imported for it. */
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
  /** Reason by key or by bare name. */
  private readonly exclusions = new Map<string, string>();
  private startMs: number | undefined;
  private readonly starts: Record<StartKind, number> = { fresh: 0, fork: 0, spare: 0 };

  constructor(options: TrackerOptions = {}) {
    this.params = options.params ?? DEFAULT_PARAMS;
    this.fastMs = options.fastHalfLifeMs ?? 10 * 60_000;
    this.slowMs = options.slowHalfLifeMs ?? 120 * 60_000;
    this.maxSets = options.maxSets ?? 4096;
    this.ghosts = new Ghosts(this.fastMs, 0);
  }

  /** Notes one cold start. Cheap: called on the request path. */
  observe(start: StartObservation): void {
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

  /** Notes that an idle instance had to go to make room; see Ghosts. */
  evicted(fn: string, mb: number, atMs: number): void {
    this.ghosts.evicted(fn, mb, atMs);
  }

  /** Notes what a zygote measured while importing one package. */
  imported(key: PinKey, cost: ImportCost): void {
    this.costs.measured(key, cost.ms, cost.mb);
  }

  /** Notes the names that a package needs, as its installer reported them. */
  requires(key: PinKey, names: readonly string[]): void {
    this.requirements.set(key, names);
  }

  /**
   * Keeps a package out of every zygote from now on.
   * @param package key of one version, or a bare name for all of them
   */
  exclude(packageKey: string, reason: string): void {
    this.exclusions.set(packageKey, reason);
  }

  get excluded(): ReadonlyMap<string, string> {
    return this.exclusions;
  }

  /** Cold starts noted so far, by kind. */
  get observed(): Readonly<Record<StartKind, number>> {
    return this.starts;
  }

  /** What is asked for, as rates at that moment. */
  demands(nowMs: number): Demand[] {
    return finish(this.demandSteps(nowMs));
  }

  private *demandSteps(nowMs: number): Steps<Demand[]> {
    const sinceMs = Math.max(1000, nowMs - (this.startMs ?? nowMs));
    // A count with half-life h settles at rate × h/ln 2; one that has only run for a while is that much short of it.
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
   * Decides what to hold from now on.
   * @param budgetMb the most that zygotes, replicas and spares may hold; within it they get what they are worth more
   *   for than paused instances
   * @param live what the provider holds, creating and draining ones included
   */
  tick(nowMs: number, budgetMb: number, live: readonly LiveZygote[]): Decision {
    return finish(this.tickSteps(nowMs, budgetMb, () => live));
  }

  /** tick() in steps; `live` is asked again at the end, when something else may live. */
  *tickSteps(nowMs: number, budgetMb: number, live: () => readonly LiveZygote[]): Steps<Decision> {
    this.ghosts.capMb = budgetMb * GHOST_SHARE;
    const price = this.ghosts.price(nowMs);
    const params = { ...this.params, priceMsPerSecPerMb: Math.max(price, this.params.priceMsPerSecPerMb) };
    const desired = yield* desiredTreeSteps({
      demands: yield* this.demandSteps(nowMs),
      costOf: this.costs.of,
      requiresOf: (key) => this.requirements.get(key),
      budgetMb,
      live: live(),
      excluded: (key) => this.isExcluded(key),
      params,
    });
    return { desired, actions: ramp(diff(live(), desired), this.params.maxNewPerLook) };
  }

  /** Everything learnt, to be written to a file and given to restore() by the next worker. */
  toSeed(nowMs: number): PopularitySeed {
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
   * Takes over what an earlier worker learnt. Time spent stopped does not age it.
   * @throws ArgyleError CONFIG_INVALID naming what is malformed
   */
  restore(seed: unknown, nowMs: number): void {
    const parsed = parseSeed(seed);
    this.startMs = nowMs - parsed.ageMs;
    for (const { pins, fast, slow, importMs } of parsed.sets) {
      this.sets.set(setId(pins), { pins, fast, slow, atMs: nowMs, importMs });
    }
    this.costs.load(Object.entries(parsed.costs));
    for (const [key, names] of Object.entries(parsed.requires)) this.requirements.set(key, names);
    for (const [key, reason] of Object.entries(parsed.excluded)) this.exclusions.set(key, reason);
  }

  /**
   * POLICY: what a paused instance is worth is measured against zygotes that have imported all they may for it. Valued
   * by what its start cost with the zygotes there were, few zygotes would make instances dear and keep zygotes few.
   */
  private unavoidableMs({ pins, preimported, importMs = 0, waitMs = 0 }: StartObservation, coldMs: number): number {
    const already = new Set(preimported);
    const msOf = (keys: readonly PinKey[]): number => keys.reduce((sum, key) => sum + this.costs.of(key).ms, 0);
    const own = pins.filter((key) => !already.has(key));
    const barred = own.filter((key) => this.isExcluded(key));
    const avoidable = barred.length === 0 ? 1 : 1 - msOf(barred) / (msOf(own) || 1);
    return Math.max(0, coldMs - waitMs - importMs * avoidable);
  }

  private isExcluded(key: PinKey): boolean {
    return this.exclusions.has(key) || this.exclusions.has(nameOfKey(key));
  }

  private decay(tracked: Tracked, nowMs: number): void {
    const passedMs = Math.max(0, nowMs - tracked.atMs);
    tracked.fast *= Math.pow(2, -passedMs / this.fastMs);
    tracked.slow *= Math.pow(2, -passedMs / this.slowMs);
    tracked.atMs = Math.max(nowMs, tracked.atMs);
  }

  /** Keeps the most asked for sets and what is known about their packages. */
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
 * POLICY: zygotes are begun a few at a time, most worthy first (diff() keeps the order in which they were chosen), so
 * that memory is not taken long before it is of use and later ones profit from what the first ones measured.
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
