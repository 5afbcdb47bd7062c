/** Keeps the instances of `scale.min` ready for future calls. */
import type { Sandbox } from '../../sandbox/types';

/** Back-off after a failed start: first wait and longest wait, in ms. Each failure doubles the wait. */
const FIRST_MS = 1_000;
const MOST_MS = 60_000;

export interface WarmView {
  /** scale.min */
  min: number;
  /** The sandboxes of all instances. */
  sandboxes: readonly Sandbox[];
  /** Number of pending starts. */
  starting: number;
  /** Whether memory for one more instance is free, or can be taken from sandboxes that are not kept. */
  hasRoom: () => boolean;
}

export class KeepWarm {
  private waitMs = 0;
  private notBefore = -Infinity;

  constructor(private readonly now: () => number) {}

  /**
   * Marks as many sandboxes as `min` says as kept, so that the memory pool spares these sandboxes.
   * @returns whether to start one more instance now. POLICY: one at a time, because the room is checked for each start.
   */
  look({ min, sandboxes, starting, hasRoom }: WarmView): boolean {
    sandboxes.forEach((sandbox, index) => sandbox.keep?.(index < min));
    return sandboxes.length + starting < min && this.now() >= this.notBefore && hasRoom();
  }

  /** Records a failed start. The code may be broken. */
  failed(): void {
    if (this.now() < this.notBefore) return;
    this.waitMs = Math.min(MOST_MS, Math.max(FIRST_MS, 2 * this.waitMs));
    this.notBefore = this.now() + this.waitMs;
  }

  /** Ends the back-off: the code has changed, or has worked. */
  reset(): void {
    this.waitMs = 0;
    this.notBefore = -Infinity;
  }
}
