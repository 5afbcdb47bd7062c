/**
 * Bounds the number of simultaneous starts after the helper died. All sandboxes die with the helper, so all calls need
 * a new instance. If all of them started together, each start would take so long that a second death would interrupt
 * all requests.
 */

/** The bound holds for this time after a death, in ms. The waiting calls are served within this time. */
const RECOVERY_MS = 5_000;
/**
 * POLICY: a start counts until its first request is answered, but for at most this time, in ms. This request may wait
 * for other requests.
 */
const HELD_MS = 1_000;

export class StartGate {
  private until = -Infinity;
  /** Times at which the counted starts passed the gate, in ms. */
  private starts: number[] = [];

  /** @param most simultaneous starts after a death @param now in ms */
  constructor(
    private readonly most: number,
    private readonly now: () => number,
  ) {}

  /** Records that a sandbox was lost with its helper. All other sandboxes were lost, too. */
  lost(): void {
    this.until = this.now() + RECOVERY_MS;
    this.starts = [];
  }

  /** Whether one more start may begin. A caller that gets false asks again later. */
  enter(): boolean {
    const nowMs = this.now();
    if (nowMs >= this.until) return true;
    this.starts = this.starts.filter((at) => nowMs - at < HELD_MS);
    if (this.starts.length >= this.most) return false;
    this.starts.push(nowMs);
    return true;
  }

  /** Records that a started instance has answered its first request. */
  leave(): void {
    this.starts.shift();
  }
}
