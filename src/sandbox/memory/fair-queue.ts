/**
 * A queue with turns: every function gets one turn before any function gets its next turn. Entries of one function are
 * first come, first served.
 */

export interface Entry {
  /** The function whose turn the entry uses. */
  readonly fn: string;
}

export class FairQueue<T extends Entry> {
  /** Waiting entries by function, in the order of the functions' turns. */
  private readonly waiting = new Map<string, Set<T>>();
  private count = 0;

  get length(): number {
    return this.count;
  }

  add(entry: T): void {
    const own = this.waiting.get(entry.fn) ?? new Set();
    this.waiting.set(entry.fn, own);
    if (!own.has(entry)) this.count++;
    own.add(entry);
  }

  /** The next entry, which stays in the queue. */
  get next(): T | undefined {
    for (const own of this.waiting.values()) for (const entry of own) return entry;
    return undefined;
  }

  /** Takes the next entry that may go. Functions that are passed over keep their turn. */
  take(mayGo: (entry: T) => boolean = () => true): T | undefined {
    for (const [fn, own] of this.waiting) {
      for (const entry of own) {
        if (!mayGo(entry)) continue;
        this.remove(entry);
        // The function's next turn comes after all other functions.
        const left = this.waiting.get(fn);
        if (left !== undefined && this.waiting.delete(fn)) this.waiting.set(fn, left);
        return entry;
      }
    }
    return undefined;
  }

  remove(entry: T): void {
    const own = this.waiting.get(entry.fn);
    if (own?.delete(entry) !== true) return;
    this.count--;
    if (own.size === 0) this.waiting.delete(entry.fn);
  }

  *entries(): Iterable<T> {
    for (const own of this.waiting.values()) yield* own;
  }
}
