/**
 * Detects thrashing. A sandbox thrashes when it works at its memory limit, reads the same pages repeatedly and makes no
 * progress. The kernel kills such a sandbox only when reclaim frees no page at all, which may take minutes. Pure.
 */

/** Counters of a sandbox since its start; `memBytes` is the current value. */
export interface Pressure {
  memBytes: number;
  /** Pages that were read again after the kernel had dropped them because of the limit. */
  refaults: number;
  /** Page faults that waited for a disk (major), and all page faults. */
  majorFaults: number;
  faults: number;
  /** CPU time in user mode, in µs. */
  userUsec: number;
}

export interface Sample extends Pressure {
  /** Time of the sample, in ms of a monotonic clock. */
  atMs: number;
}

/**
 * POLICY: duration of thrashing before the sandbox is ended, in ms. A cold import at a tight limit thrashes for less
 * than this; a sandbox that thrashes ends within 2 s.
 */
export const THRASH_MS = 1200;
/** Part of the memory limit above which the kernel drops pages because of the limit. */
const AT_LIMIT = 0.9;
/** User CPU time per elapsed time; a smaller value counts as no progress. One CPU that computes is 1. */
const IDLE_SHARE = 0.05;
/**
 * Least share of major faults among all faults. Code and data that are read in order cause about 16 other faults for
 * each major fault.
 */
const MAJOR_SHARE = 0.25;
/** Least number of major faults per second. A process that only waits has none. */
const MAJOR_PER_S = 20;
const PAGE_BYTES = 4096;

/**
 * Whether a sandbox thrashed between two samples. All conditions must hold, because each condition alone is harmless:
 * - The sandbox is at its limit. Below the limit, the kernel drops pages because of other processes.
 * - The sandbox read its whole memory again in each second. A sandbox that reads new files reads no page again.
 * - Major faults exceed MAJOR_PER_S and MAJOR_SHARE. Reading a file again by read(), or a mapped file in order, causes
 *   few major faults, because the kernel reads ahead.
 * - The code hardly ran. A slow sandbox still makes progress.
 */
export function thrashed(from: Sample, to: Sample, limitBytes: number): boolean {
  const seconds = (to.atMs - from.atMs) / 1000;
  const major = to.majorFaults - from.majorFaults;
  return (
    seconds > 0 &&
    limitBytes > 0 &&
    Math.min(from.memBytes, to.memBytes) >= AT_LIMIT * limitBytes &&
    (to.refaults - from.refaults) * PAGE_BYTES >= limitBytes * seconds &&
    major >= MAJOR_PER_S * seconds &&
    major >= MAJOR_SHARE * (to.faults - from.faults) &&
    to.userUsec - from.userUsec <= IDLE_SHARE * seconds * 1e6
  );
}

/** Evaluates the samples of one sandbox. */
export class ThrashDetector {
  private last: Sample | undefined;
  private sinceMs: number | undefined;

  constructor(private readonly limitBytes: number) {}

  /** Adds the next sample. Returns whether the sandbox thrashed in every interval of the last THRASH_MS. */
  add(sample: Sample): boolean {
    const { last } = this;
    this.last = sample;
    if (last === undefined || !thrashed(last, sample, this.limitBytes)) {
      this.sinceMs = undefined;
      return false;
    }
    this.sinceMs ??= last.atMs;
    return sample.atMs - this.sinceMs >= THRASH_MS;
  }
}
