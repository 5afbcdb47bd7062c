/** Measures how long this process's event loop was blocked, without the time in which other processes had the CPUs. */
import { closeSync, openSync, readSync } from 'node:fs';

/** Interval of the measurement, ms. */
const TICK_MS = 2;

export class LoopDelay {
  /** Longest time beyond a tick in which the loop's thread ran or was blocked, ms. */
  longestMs = 0;
  private readonly fd = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  private readonly buffer = Buffer.alloc(64);
  private lastMs = performance.now();
  private lastWaitMs = this.waitMs();
  private readonly timer = setInterval(() => {
    const nowMs = performance.now();
    const waitMs = this.waitMs();
    const late = nowMs - this.lastMs - TICK_MS;
    this.longestMs = Math.max(this.longestMs, late - (waitMs - this.lastWaitMs));
    this.lastMs = nowMs;
    this.lastWaitMs = waitMs;
  }, TICK_MS);

  stop(): this {
    clearInterval(this.timer);
    closeSync(this.fd);
    return this;
  }

  /** Time that the loop's thread was runnable but had no CPU, ms. */
  private waitMs(): number {
    const length = readSync(this.fd, this.buffer, 0, this.buffer.length, 0);
    return Number(this.buffer.toString('latin1', 0, length).split(' ')[1]) / 1e6;
  }
}
