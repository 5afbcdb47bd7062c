/** How functions share the memory pool. Pure. */

/** The memory that one function holds and requests. */
export interface Demand {
  /** Memory of the function's instances, in MB. */
  heldMb: number;
  /** Memory that the function's starts wait for, in MB. */
  wantedMb: number;
  /**
   * Memory that the function's last used instance needs to resume, in MB; 0 when that instance runs or was not used
   * recently.
   */
  thawMb: number;
}

/** The properties of an idle instance that decide its protection. */
export interface IdleInstance {
  /** The function of the instance; '' or undefined for a holder that serves all functions. */
  readonly fn?: string | undefined;
  /** Time since the last use, in ms. */
  readonly idleMs: number;
  /** Memory that its end frees, in MB; 0 when absent. */
  readonly freesMb?: number;
}

/** A paused instance. */
export interface Paused extends IdleInstance {
  /** Memory that the instance needs to resume, in MB. */
  readonly thawMb: number;
}

/**
 * POLICY: time for which functions above their share cannot evict another function's last used idle instance, in ms.
 */
export const LAST_KEPT_MS = 60_000;
/** POLICY: the same time for the other idle instances of a function, in ms. */
export const OTHERS_KEPT_MS = 10_000;
/**
 * POLICY: time that a function below its share waits for a function above its share to yield memory, in ms. After this
 * time the waiting function takes memory that is kept for other functions below their share.
 */
export const PATIENCE_MS = 200;
/** POLICY: limit for the part of the pool that is kept free for instances to resume. */
const MOST_RESERVED = 1 / 8;

/** Limit for the memory that functions above their share leave free in a pool of `totalMb`, in MB. */
export const mostReservedMb = (totalMb: number): number => totalMb * MOST_RESERVED;

/**
 * Computes the max-min fair share. A function that wants less than the share gets what it wants; every other function
 * gets the share.
 * @param totalMb memory for all functions together
 * @returns the share in MB, or Infinity when the memory suffices for all functions
 */
export function fairShareMb(totalMb: number, wantsMb: Iterable<number>): number {
  const sorted = [...wantsMb].sort((a, b) => a - b);
  let leftMb = totalMb;
  for (const [served, wantMb] of sorted.entries()) {
    const levelMb = Math.max(0, leftMb) / (sorted.length - served);
    if (wantMb > levelMb) return levelMb;
    leftMb -= wantMb;
  }
  return Infinity;
}

/**
 * Builds the demands of all functions.
 * @param held MB of each function
 * @param waiting all waiters
 * @param paused all paused instances
 */
export function demandsOf(
  held: ReadonlyMap<string, number>,
  waiting: Iterable<{ readonly fn: string; readonly mb: number }>,
  paused: Iterable<Paused>,
): Map<string, Demand> {
  const demands = new Map<string, Demand>();
  const of = (fn: string): Demand => {
    const demand = demands.get(fn) ?? { heldMb: held.get(fn) ?? 0, wantedMb: 0, thawMb: 0 };
    demands.set(fn, demand);
    return demand;
  };
  for (const fn of held.keys()) of(fn);
  for (const { fn, mb } of waiting) if (fn !== '') of(fn).wantedMb += mb;
  for (const [fn, { idleMs, thawMb }] of lastUsed(paused)) if (idleMs < LAST_KEPT_MS) of(fn).thawMb = thawMb;
  return demands;
}

/** The demands of all functions at one moment, and the fair share that follows. */
export class Shares {
  readonly shareMb: number;

  /** @param totalMb memory for all functions together, in MB */
  constructor(
    private readonly totalMb: number,
    private readonly demands: ReadonlyMap<string, Demand>,
  ) {
    const wants = [...demands.values()].map(({ heldMb, wantedMb, thawMb }) => heldMb + wantedMb + thawMb);
    this.shareMb = fairShareMb(totalMb, wants);
  }

  /**
   * Whether another function is above its share and would yield an instance to `fn`, which waits for `moreMb`. That
   * function yields the instance between two calls (yield.ts), but to functions only.
   */
  isToGive(fn: string, moreMb: number): boolean {
    if (fn === '') return false;
    const ownMb = (this.demands.get(fn)?.heldMb ?? 0) + moreMb;
    return [...this.demands.values()].some(({ heldMb }) => heldMb > this.shareMb && heldMb >= 2 * ownMb);
  }

  /**
   * POLICY: whether a function would exceed its share with `moreMb` in addition. Exception: the first instance of a
   * function, and the resume of its only instance, never exceed the share. Otherwise a function might get no instance
   * at all, because one instance may need more than a share.
   * @param ofMb memory that the requesting instance already holds, in MB
   */
  isOver(fn: string, moreMb: number, ofMb = 0): boolean {
    const heldMb = this.demands.get(fn)?.heldMb ?? 0;
    return fn !== '' && heldMb > ofMb && heldMb + moreMb > this.shareMb;
  }

  /**
   * POLICY: memory that a function above its share leaves free, in MB. It is the sum of two parts. The first is the
   * memory that functions below their share wait for, up to the share. The second is thawMb. Without this reserve, a
   * resume would wait for the duration of a whole call of the function that holds the memory.
   */
  reservedMb(fn: string): number {
    let waitMb = 0;
    for (const [other, { heldMb, wantedMb }] of this.demands) {
      if (other !== fn && heldMb <= this.shareMb) waitMb += Math.min(wantedMb, this.shareMb - heldMb);
    }
    return waitMb + this.thawMb;
  }

  /** Memory kept free for the resume of instances of functions below their share, in MB. */
  get thawMb(): number {
    let mb = 0;
    for (const { heldMb, thawMb } of this.demands.values()) if (heldMb <= this.shareMb) mb += thawMb;
    return Math.min(mb, mostReservedMb(this.totalMb));
  }

  /**
   * Splits idle instances: `free` may be evicted for every waiter, `kept` only for functions below their share. As in
   * isOver(), a function that holds nothing else is not above its share.
   * @param over functions above their share that wait; such a function may evict its own instances
   */
  protect<T extends IdleInstance>(idle: readonly T[], over: ReadonlySet<string> = new Set()): { free: T[]; kept: T[] } {
    const last = lastUsed(idle);
    const free: T[] = [];
    const kept: T[] = [];
    for (const one of idle) {
      const { fn = '', idleMs, freesMb = 0 } = one;
      const keptMs = last.get(fn) === one ? LAST_KEPT_MS : OTHERS_KEPT_MS;
      const isBelow = (this.demands.get(fn)?.heldMb ?? 0) <= Math.max(this.shareMb, freesMb);
      const isKept = fn !== '' && !over.has(fn) && idleMs < keptMs && isBelow;
      (isKept ? kept : free).push(one);
    }
    return { free, kept };
  }
}

/** Returns the last used idle instance of each function. */
export function lastUsed<T extends IdleInstance>(idle: Iterable<T>): Map<string, T> {
  const last = new Map<string, T>();
  for (const one of idle) {
    const { fn = '' } = one;
    if (fn !== '' && one.idleMs < (last.get(fn)?.idleMs ?? Infinity)) last.set(fn, one);
  }
  return last;
}

/**
 * Returns a filter that decides which waiter gets memory. Call the filter with the waiters in the order of their turns.
 *
 * POLICY: when a function above its share cannot be served, only functions below their share pass it. When a function
 * below its share cannot be served, no function passes it. Otherwise a large request would starve.
 */
export function inLine<T>(isOver: (waiter: T) => boolean, fits: (waiter: T, over: boolean) => boolean) {
  let overWaits = false;
  let isClosed = false;
  return (waiter: T): boolean => {
    if (isClosed) return false;
    const over = isOver(waiter);
    if (over && overWaits) return false;
    if (fits(waiter, over)) return true;
    if (over) overWaits = true;
    else isClosed = true;
    return false;
  };
}
