/**
 * Admission control for starts of sandboxes. When many starts are wanted at once, few of them import at the same time.
 * Packages that several starts need are imported once, in a zygote that all of these starts are forked from. See
 * docs/adr/0011.
 *
 * A light start has almost nothing left to import: it is a fork. Several light starts run at once per processor. A
 * heavy start uses a processor during its imports, so as many heavy starts run at once as there are processors. Waiting
 * starts are served in turns, one start of each function. A function without a turn does not wait for a function with
 * several turns (turns.ts). The queue depends on no clock and no sandbox, so simulate.ts can run the queue in simulated
 * time.
 */
import type { StartWish } from '../../sandbox/types';
import { FairQueue } from '../../sandbox/memory/fair-queue';
import { Turns } from './turns';

/** The estimate of a start that begins now. */
export interface StartEstimate {
  /** CPU time of the best available way, in ms. */
  readonly ownMs: number;
  /** A zygote that is being made: time until it is ready, and CPU time of a start from it, both in ms. */
  readonly coming?: { readonly inMs: number; readonly ownMs: number } | undefined;
  /** The same values for a zygote that could be made now. */
  readonly possible?: { readonly inMs: number; readonly ownMs: number } | undefined;
}

/** A profile of starts with the same packages. */
export interface StartProfile {
  readonly id: string;
  estimate(): StartEstimate;
  /**
   * Starts making the zygote that estimate() reported as possible. Resolves when the zygote is ready or has failed;
   * never rejects.
   */
  makeZygote(): Promise<void>;
}

/** A turn: the permission to start one sandbox. */
export interface Turn {
  readonly isLight: boolean;
  /** Expected duration, in ms. */
  readonly expectedMs: number;
  readonly isLeft: boolean;
  /** Ends the turn, so that the next start may begin. Idempotent. */
  readonly leave: () => void;
}

export interface QueueOptions {
  /** Number of processors. */
  readonly cpus: number;
  /** Returns the time of a monotonic clock, in ms. */
  readonly now: () => number;
  /** Calls `run` once, after `ms`. */
  readonly later: (run: () => void, ms: number) => void;
}

/** POLICY: largest estimate of a light start, in ms. */
export const LIGHT_MS = 10;
/**
 * POLICY: concurrent light starts per processor: enough to keep zygotes busy, and few enough that the calls and starts
 * of another function wait only briefly (docs/benchmarks.md#bursts).
 */
const LIGHT_PER_CPU = 2;
/**
 * POLICY: a wait uses no CPU, so a start waits for a zygote that takes up to this many times as long as the start
 * alone.
 */
const PATIENCE = 1.25;
/** POLICY: limit for the wait for a zygote, in ms. estimate() does not report a zygote that is late. */
const MOST_WAIT_MS = 10_000;
/**
 * POLICY: limit of a turn: HELD_TIMES times its expected time plus HELD_MORE_MS, in ms. For a start the limit applies
 * to CPU time (leave-when-idle.ts), because a busy machine slows down all starts. For a zygote the limit applies to
 * elapsed time.
 */
export const HELD_TIMES = 4;
export const HELD_MORE_MS = 1000;
/** Limit for the elapsed time of any turn, in ms, also on a busy machine. */
const MOST_HELD_MS = 30_000;
/** Poll interval while starts wait, in ms; every change triggers a check as well. */
const LOOK_MS = 25;

interface Waiting {
  readonly fn: string;
  readonly kind: StartProfile;
  readonly wish: StartWish;
  readonly go: (turn: Turn | undefined) => void;
  /** The start waits for no zygote after this time, in ms of the queue's clock. */
  heldUntilMs?: number;
}

export class StartQueue {
  private readonly heavy = new FairQueue<Waiting>();
  private readonly light = new FairQueue<Waiting>();
  private readonly heavyTurns: Turns;
  private readonly lightTurns: Turns;
  private looking = false;
  private soon = false;

  constructor(private readonly options: QueueOptions) {
    const mostLight = LIGHT_PER_CPU * options.cpus;
    this.heavyTurns = new Turns(options.cpus);
    // POLICY: one function cannot hold all light turns. Its starts may wait for memory, and other functions must not
    // wait with them.
    this.lightTurns = new Turns(mostLight, mostLight - 1);
  }

  /** Number of starts that wait for a turn. */
  get waiting(): number {
    return this.heavy.length + this.light.length;
  }

  /** Number of heavy turns, including those of zygotes. */
  get running(): number {
    return this.heavyTurns.total;
  }

  /**
   * Returns a turn when the start may begin, synchronously if a turn is free; undefined when the start is no longer
   * wanted.
   */
  enter(fn: string, kind: StartProfile, wish: StartWish): Turn | Promise<Turn | undefined> {
    const outlook = kind.estimate();
    const isLight = outlook.ownMs <= LIGHT_MS;
    const { coming, possible } = outlook;
    const isRoom = isLight
      ? this.light.length === 0 && this.lightTurns.mayBegin(fn)
      : this.heavy.length === 0 && this.heavyTurns.mayBegin(fn) && coming === undefined && possible === undefined;
    if (isRoom) {
      wish.onTurn();
      return this.turn(fn, outlook.ownMs, isLight);
    }
    return new Promise((go) => {
      (isLight ? this.light : this.heavy).add({ fn, kind, wish, go });
      this.pumpSoon();
      this.lookOn();
    });
  }

  /** Call this after a change of zygotes or of their expected costs. */
  changed(): void {
    if (this.waiting > 0) this.pumpSoon();
  }

  /**
   * Checks the queue after all simultaneous starts have entered it. Otherwise the first start would import packages
   * that the other starts need as well.
   */
  private pumpSoon(): void {
    if (this.soon) return;
    this.soon = true;
    this.options.later(() => {
      this.soon = false;
      this.pump();
    }, 0);
  }

  private lookOn(): void {
    if (this.looking) return;
    this.looking = true;
    this.options.later(() => {
      this.looking = false;
      this.pump();
      if (this.waiting > 0) this.lookOn();
    }, LOOK_MS);
  }

  private pump(): void {
    const outlooks = this.sort();
    while (this.light.length > 0) {
      const { lightTurns: turns } = this;
      const next = this.light.take(({ fn }) => turns.mayBegin(fn) || turns.mayJoin(fn));
      if (next === undefined) break;
      this.admit(next, outlooks.get(next.kind.id)?.ownMs ?? LIGHT_MS, true);
    }
    while (this.heavy.length > 0) {
      const next = this.heavy.take((entry) => this.mayTake(entry, outlooks.get(entry.kind.id)));
      if (next === undefined) return;
      const outlook = outlooks.get(next.kind.id) ?? next.kind.estimate();
      if (this.isZygoteCheaper(next, outlook)) {
        this.heavy.add(next);
        this.startZygote(next.kind, outlook);
        outlooks.set(next.kind.id, next.kind.estimate());
      } else this.admit(next, outlook.ownMs, false);
    }
  }

  private mayTake(entry: Waiting, outlook: StartEstimate | undefined): boolean {
    const { heavyTurns: turns } = this;
    if (this.holds(entry, outlook)) return false;
    if (turns.mayBegin(entry.fn)) return true;
    // Here all turns are taken. A start may join, but a zygote for several starts waits for a free turn.
    return turns.mayJoin(entry.fn) && !this.isZygoteCheaper(entry, outlook ?? entry.kind.estimate());
  }

  /** Removes starts that are no longer wanted, and moves starts whose class (light or heavy) has changed. */
  private sort(): Map<string, StartEstimate> {
    const outlooks = new Map<string, StartEstimate>();
    for (const queue of [this.light, this.heavy]) {
      for (const entry of [...queue.entries()]) {
        if (!entry.wish.isWanted()) {
          queue.remove(entry);
          entry.go(undefined);
          continue;
        }
        const { id } = entry.kind;
        const outlook = outlooks.get(id) ?? entry.kind.estimate();
        outlooks.set(id, outlook);
        const right = outlook.ownMs <= LIGHT_MS ? this.light : this.heavy;
        if (right === queue) continue;
        queue.remove(entry);
        right.add(entry);
      }
    }
    return outlooks;
  }

  /** Whether the start waits for a zygote that is being made. */
  private holds(entry: Waiting, outlook: StartEstimate | undefined): boolean {
    const nowMs = this.options.now();
    const { coming, ownMs = 0 } = outlook ?? {};
    if (coming === undefined) return false;
    const waitMs = coming.inMs + coming.ownMs;
    if (coming.ownMs >= ownMs || waitMs > ownMs * PATIENCE) return false;
    entry.heldUntilMs ??= nowMs + MOST_WAIT_MS;
    return nowMs < entry.heldUntilMs;
  }

  /** Whether one zygote for all waiting starts of this profile needs less CPU time than these starts alone. */
  private isZygoteCheaper(entry: Waiting, { ownMs, coming, possible }: StartEstimate): boolean {
    if (possible === undefined || coming !== undefined) return false;
    let alike = 1;
    for (const other of this.heavy.entries()) if (other.kind.id === entry.kind.id) alike++;
    return alike > 1 && possible.inMs + alike * possible.ownMs < alike * ownMs;
  }

  private startZygote(kind: StartProfile, { possible }: StartEstimate): void {
    const inMs = possible?.inMs ?? 0;
    const turn = this.turn('', inMs, false);
    this.options.later(turn.leave, HELD_TIMES * inMs + HELD_MORE_MS);
    void kind.makeZygote().then(() => {
      turn.leave();
    });
  }

  private admit(entry: Waiting, expectedMs: number, isLight: boolean): void {
    if (!entry.wish.isWanted()) {
      entry.go(undefined);
      return;
    }
    entry.wish.onTurn();
    entry.go(this.turn(entry.fn, expectedMs, isLight));
  }

  private turn(fn: string, expectedMs: number, isLight: boolean): Turn {
    const turns = isLight ? this.lightTurns : this.heavyTurns;
    turns.begin(fn);
    let left = false;
    const leave = (): void => {
      if (left) return;
      left = true;
      turns.end(fn);
      if (this.waiting > 0) this.pumpSoon();
    };
    if (!isLight) this.options.later(leave, MOST_HELD_MS);
    return {
      isLight,
      expectedMs,
      leave,
      get isLeft() {
        return left;
      },
    };
  }
}

/** Makes the queue of this process. Callbacks without a delay run in the next turn of the event loop. */
export function startQueue(cpus: number): StartQueue {
  return new StartQueue({
    cpus,
    now: () => performance.now(),
    later: (run, ms) => {
      if (ms === 0) setImmediate(run);
      else setTimeout(run, ms).unref();
    },
  });
}
