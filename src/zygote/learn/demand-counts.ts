/** Counts the sets of packages that cold starts ask for, with two half-lives, and turns the counts into demands. */
import { setId } from '../policy/candidates';
import type { Steps } from '../policy/steps';
import type { Demand, PinKey } from '../policy/types';
import type { TrackerSeed } from './seed';

export interface DemandCountsOptions {
  /** Half-life of the fast count, in ms; this count follows recent changes. */
  readonly fastHalfLifeMs?: number;
  /** Half-life of the slow count, in ms; this count covers rare sets. */
  readonly slowHalfLifeMs?: number;
  /** Limit for remembered sets; the least requested sets are dropped first. */
  readonly maxSets?: number;
}

/** Factor by which the sets may exceed their limit before the least requested ones are dropped. */
const SLACK = 1.25;
/** Weight of a new measurement against the stored one. */
const NEW_WEIGHT = 0.3;

interface Counted {
  readonly pins: readonly PinKey[];
  fast: number;
  slow: number;
  atMs: number;
  /** Import time without any zygote, in ms. */
  importMs: number | undefined;
}

export class DemandCounts {
  readonly fastMs: number;
  private readonly slowMs: number;
  private readonly maxSets: number;
  private readonly sets = new Map<string, Counted>();
  private startMs: number | undefined;

  constructor(options: DemandCountsOptions = {}) {
    this.fastMs = options.fastHalfLifeMs ?? 10 * 60_000;
    this.slowMs = options.slowHalfLifeMs ?? 120 * 60_000;
    this.maxSets = options.maxSets ?? 4096;
  }

  /**
   * Counts one request for these sorted pins.
   * @param importMs import time of the handler when no zygote had imported anything, in ms
   */
  add(pins: readonly PinKey[], atMs: number, importMs: number | undefined): void {
    const counted = this.at(pins, atMs);
    counted.fast += 1;
    counted.slow += 1;
    if (importMs !== undefined) {
      counted.importMs = (counted.importMs ?? importMs) * (1 - NEW_WEIGHT) + importMs * NEW_WEIGHT;
    }
  }

  /**
   * Counts sorted pins that a function was deployed with.
   * POLICY: a deployed set counts as one request until it has requests, because a function is deployed to be called.
   * Repeated deployments count once.
   */
  expect(pins: readonly PinKey[], atMs: number): void {
    const counted = this.at(pins, atMs);
    counted.fast = Math.max(1, counted.fast);
    counted.slow = Math.max(1, counted.slow);
  }

  /** Whether forget() is due. */
  get isFull(): boolean {
    return this.sets.size > this.maxSets * SLACK;
  }

  /** Returns the import time of handlers with these sorted pins and no imports by a zygote, in ms. */
  importMsOf(pins: readonly PinKey[]): number | undefined {
    return this.sets.get(setId(pins))?.importMs;
  }

  /** Keeps the most requested sets. @returns the packages of these sets */
  forget(nowMs: number): Set<PinKey> {
    const kept = [...this.sets];
    for (const [, counted] of kept) this.decay(counted, nowMs);
    kept.sort(([, a], [, b]) => b.slow - a.slow);
    for (const [id] of kept.splice(this.maxSets)) this.sets.delete(id);
    return new Set(kept.flatMap(([, counted]) => counted.pins));
  }

  /** The demands at `nowMs`, as rates. */
  *demandSteps(nowMs: number): Steps<Demand[]> {
    const sinceMs = Math.max(1000, nowMs - (this.startMs ?? nowMs));
    // A count with half-life h converges to rate × h/ln 2. The last factor corrects a count that has run only for
    // sinceMs.
    const perSecond = (halfLifeMs: number): number =>
      (1000 * Math.LN2) / (halfLifeMs * (1 - Math.pow(2, -sinceMs / halfLifeMs)));
    const fast = perSecond(this.fastMs);
    const slow = perSecond(this.slowMs);
    const demands: Demand[] = [];
    for (const counted of [...this.sets.values()]) {
      yield;
      this.decay(counted, nowMs);
      const ratePerSec = (counted.fast * fast + counted.slow * slow) / 2;
      const { pins, importMs } = counted;
      demands.push(importMs === undefined ? { pins, ratePerSec } : { pins, ratePerSec, importMs });
    }
    return demands;
  }

  /** Returns the counts for a file; the next worker passes them to restore(). */
  toSeed(nowMs: number): Pick<TrackerSeed, 'ageMs' | 'sets'> {
    return {
      ageMs: nowMs - (this.startMs ?? nowMs),
      sets: [...this.sets.values()].map((counted) => {
        this.decay(counted, nowMs);
        const { pins, fast, slow, importMs } = counted;
        return { pins: [...pins], fast, slow, ...(importMs === undefined ? {} : { importMs }) };
      }),
    };
  }

  /** Restores saved counts. The time between saving and restoring does not reduce the counts. */
  restore({ ageMs, sets }: Pick<TrackerSeed, 'ageMs' | 'sets'>, nowMs: number): void {
    this.startMs = nowMs - ageMs;
    for (const { pins, fast, slow, importMs } of sets) {
      this.sets.set(setId(pins), { pins, fast, slow, atMs: nowMs, importMs });
    }
  }

  /** The set's entry, with its counts at `atMs`. */
  private at(pins: readonly PinKey[], atMs: number): Counted {
    this.startMs ??= atMs;
    const id = setId(pins);
    const counted = this.sets.get(id) ?? { pins, fast: 0, slow: 0, atMs, importMs: undefined };
    this.decay(counted, atMs);
    this.sets.set(id, counted);
    return counted;
  }

  private decay(counted: Counted, nowMs: number): void {
    const passedMs = Math.max(0, nowMs - counted.atMs);
    counted.fast *= Math.pow(2, -passedMs / this.fastMs);
    counted.slow *= Math.pow(2, -passedMs / this.slowMs);
    counted.atMs = Math.max(nowMs, counted.atMs);
  }
}
