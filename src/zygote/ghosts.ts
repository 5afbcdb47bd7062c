/**
 * What memory is worth to paused instances, measured instead of modelled: the last instances that were evicted are
 * remembered as ghosts, up to some MB. A cold start of a ghost's function would have been warm with that much more
 * memory, so its ms are what the memory would have saved. The rate of such ms per MB is the price that zygotes and
 * spares have to beat to get the memory instead.
 */
export class Ghosts {
  private readonly queue: { readonly fn: string; readonly mb: number; claimed: boolean }[] = [];
  private heldMb = 0;
  /** ms that one more MB would have saved, decayed. */
  private savedMsPerMb = 0;
  private atMs = 0;
  private startMs: number | undefined;

  constructor(
    private readonly halfLifeMs: number,
    /** MB of ghosts; set it to a small part of the memory that is fought over. */
    public capMb: number,
  ) {}

  /** An idle instance had to go to make room. */
  evicted(fn: string, mb: number, atMs: number): void {
    this.startMs ??= atMs;
    this.queue.push({ fn, mb, claimed: false });
    this.heldMb += mb;
    this.trim();
  }

  /** A function was started cold; that many ms would not have been spent had its instance been kept. */
  started(fn: string, coldMs: number, atMs: number): void {
    const ghost = this.queue.findLast((entry) => entry.fn === fn && !entry.claimed);
    if (ghost === undefined || this.capMb <= 0) return;
    // It keeps its place: it would hold its memory in the longer queue, too.
    ghost.claimed = true;
    this.decay(atMs);
    this.savedMsPerMb += coldMs / this.capMb;
  }

  /**
   * A cold start had to wait that long for memory, however little of it was paused.
   * @param mb what it waited for: so much more and it had not
   */
  waited(ms: number, mb: number, atMs: number): void {
    this.startMs ??= atMs;
    this.decay(atMs);
    this.savedMsPerMb += ms / Math.max(mb, 1);
  }

  /** ms per second that one more MB for instances would save. */
  price(nowMs: number): number {
    if (this.startMs === undefined) return 0;
    this.decay(nowMs);
    // A burst in the first moments is no rate yet.
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
