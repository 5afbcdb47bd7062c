/**
 * Bounds how many instances start at once after the helper died with every sandbox. All calls want one then; when all
 * start together each takes so long that the next death finds them all in the middle of a request, which is lost.
 */

/** The bound holds for this long after a death, ms: until the calls that waited are served. */
const RECOVERY_MS = 5_000;
/** POLICY: a start counts until its first request is answered, but no longer than this, ms: it may wait for others. */
const HELD_MS = 1_000;

export class StartGate {
  private until = -Infinity;
  /** When the starts that count were let in, ms. */
  private starts: number[] = [];

  /** @param most starts at once after a death @param now ms */
  constructor(
    private readonly most: number,
    private readonly now: () => number,
  ) {}

  /** A sandbox was lost with its helper, as all others were. */
  lost(): void {
    this.until = this.now() + RECOVERY_MS;
    this.starts = [];
  }

  /** Whether one more may start. Whoever may not asks again after a moment. */
  enter(): boolean {
    const nowMs = this.now();
    if (nowMs >= this.until) return true;
    this.starts = this.starts.filter((at) => nowMs - at < HELD_MS);
    if (this.starts.length >= this.most) return false;
    this.starts.push(nowMs);
    return true;
  }

  /** One that was let in has had its first request. */
  leave(): void {
    this.starts.shift();
  }
}
