/**
 * Measures the value of memory for paused instances. The last evicted instances are remembered as ghosts, up to a limit
 * in MB. If the pool were larger by this limit, the evicted instances would still exist. A cold start of a ghost's
 * function would then be a warm call. The duration of this cold start is therefore the saving of the additional memory.
 * The saving per second and MB is the price of memory. Zygotes and spares get memory only if they save more than this
 * price.
 */
export class Ghosts {
  private readonly queue: { readonly fn: string; readonly mb: number; claimed: boolean }[] = [];
  private heldMb = 0;
  /** Time that one more MB would have saved, decayed, in ms. */
  private savedMsPerMb = 0;
  private atMs = 0;
  private startMs: number | undefined;

  constructor(
    private readonly halfLifeMs: number,
    /** Limit for the memory of ghosts in MB: a small part of the contended memory. */
    public capMb: number,
  ) {}

  /** Records the eviction of an idle instance. */
  evicted(fn: string, mb: number, atMs: number): void {
    this.startMs ??= atMs;
    this.queue.push({ fn, mb, claimed: false });
    this.heldMb += mb;
    this.trim();
  }

  /** Records a cold start; `coldMs` is the time that a kept instance would have saved. */
  started(fn: string, coldMs: number, atMs: number): void {
    const ghost = this.queue.findLast((entry) => entry.fn === fn && !entry.claimed);
    if (ghost === undefined || this.capMb <= 0) return;
    // The ghost stays in the queue, because the kept instance would still use the memory.
    ghost.claimed = true;
    this.decay(atMs);
    this.savedMsPerMb += coldMs / this.capMb;
  }

  /**
   * Records a cold start's wait for memory. Running instances may be the cause, too.
   * @param mb additional memory with which the start would not have waited
   */
  waited(ms: number, mb: number, atMs: number): void {
    this.startMs ??= atMs;
    this.decay(atMs);
    this.savedMsPerMb += ms / Math.max(mb, 1);
  }

  /** Returns the price: the time that one more MB for instances would save, in ms per second and MB. */
  price(nowMs: number): number {
    if (this.startMs === undefined) return 0;
    this.decay(nowMs);
    // The elapsed time has a lower bound. Otherwise a burst soon after the start would count as a high rate.
    const sinceMs = Math.max(this.halfLifeMs / 4, nowMs - this.startMs);
    const perSecond = (1000 * Math.LN2) / (this.halfLifeMs * (1 - Math.pow(2, -sinceMs / this.halfLifeMs)));
    return this.savedMsPerMb * perSecond;
  }

  private decay(nowMs: number): void {
    this.savedMsPerMb *= Math.pow(2, -Math.max(0, nowMs - this.atMs) / this.halfLifeMs);
    this.atMs = Math.max(nowMs, this.atMs);
  }

  private trim(): void {
    while (this.heldMb > this.capMb && this.queue.length > 1) this.heldMb -= this.queue.shift()?.mb ?? 0;
  }
}
