/**
 * Bounds the number of pauses that run at the same time.
 *
 * The helper executes orders one after the other. After a burst, a hundred instances become idle at once. If all their
 * pauses are ordered at once, a call waits 30 to 40 ms for its thaw, which follows the pauses.
 */

/** POLICY: a thaw waits for at most this many pauses. */
const AT_ONCE = 2;

export class PauseTurns {
  private running = 0;
  private readonly waiting: (() => Promise<void>)[] = [];

  /** @param pause runs when its turn comes; it must not reject */
  add(pause: () => Promise<void>): void {
    this.waiting.push(pause);
    this.next();
  }

  private next(): void {
    while (this.running < AT_ONCE) {
      const pause = this.waiting.shift();
      if (pause === undefined) return;
      this.running++;
      void pause().finally(() => {
        this.running--;
        this.next();
      });
    }
  }
}
