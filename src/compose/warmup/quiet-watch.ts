/** Tells the warm-up whether real requests need the processors. */

/**
 * POLICY: after each real request, the warm-up rests for INTERVALS times the longest recent interval between two
 * requests. A request during the warm-up takes several times as long (README.md), so the warm-up runs only when no
 * request is expected. Requests at regular intervals make V8 compile the code without a warm-up.
 */
const INTERVALS = 2;
/** Shortest and longest rest after a request, in ms. */
const LEAST_MS = 200;
const MOST_MS = 5000;
/** The interval that is assumed after the first request, in ms. */
const UNKNOWN_MS = 1000;
/** Factor by which each request reduces the remembered interval. A longer new interval replaces it at once. */
const DECAY = 0.8;

export class QuietWatch {
  private lastMs = -Infinity;
  /** Longest recent interval between two requests, in ms. */
  private intervalMs = UNKNOWN_MS;

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
    const now = this.now();
    const sinceMs = now - this.lastMs;
    if (sinceMs < Infinity) this.intervalMs = Math.min(MOST_MS, Math.max(sinceMs, DECAY * this.intervalMs));
    this.lastMs = now;
  }

  get isBusy(): boolean {
    const restMs = Math.min(MOST_MS, Math.max(LEAST_MS, INTERVALS * this.intervalMs));
    return this.isServing() || this.now() - this.lastMs < restMs;
  }
}
