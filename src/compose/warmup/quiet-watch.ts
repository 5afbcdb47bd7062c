/** Tells the warm-up whether real requests need the processors. */

/**
 * POLICY: a worker counts as busy for this time after each request, in ms. More frequent requests make V8 compile the
 * code without a warm-up.
 */
const QUIET_MS = 200;

export class QuietWatch {
  private lastMs = -Infinity;

  /**
   * @param isServing whether real requests are being served
   * @param now ms
   */
  constructor(
    private readonly isServing: () => boolean,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** A real request has ended. */
  ended(): void {
    this.lastMs = this.now();
  }

  get isBusy(): boolean {
    return this.isServing() || this.now() - this.lastMs < QUIET_MS;
  }
}
