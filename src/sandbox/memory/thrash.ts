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
 * than this. On an idle machine a sandbox that thrashes ends within 2 s.
 */
export const THRASH_MS = 1100;
/** Share of the memory limit, 0 to 1, above which the kernel drops pages because of the limit. */
const AT_LIMIT = 0.9;
/**
 * User CPU time divided by elapsed time; a smaller value counts as no progress. The value is 1 for one CPU that
 * computes.
 */
const IDLE_SHARE = 0.05;
/**
 * User CPU time per page that is read again, in µs; a smaller value counts as no progress. On a busy machine a sandbox
 * runs less and reads less, so this quotient stays the same. IDLE_SHARE alone would hold for every sandbox that gets
 * little processor time. Measured: 0.02 to 0.27 for code that is stuck, 0.6 to 3 for a mapped file that is read in
 * order.
 */
const USEC_PER_PAGE = 0.3;
/**
 * Minimum share of major faults among all faults, 0 to 1. Code and data that are read in order cause about 16 other
 * faults for each major fault.
 */
const MAJOR_SHARE = 0.25;
/**
 * Minimum number of major faults per second. A process that only waits, or calls read(), has at most 4. A stuck process
 * has 33 on a busy machine where each fault reads 8 MB ahead, and more on other machines.
 */
const MAJOR_PER_S = 10;
const PAGE_BYTES = 4096;
/** Minimum share of THRASH_MS in intervals that each count as thrashing, 0 to 1. */
const INTERVALS_SHARE = 0.75;

/**
 * Whether a sandbox thrashed between two samples. All conditions must hold, because each condition alone is harmless:
 * - The sandbox is at its limit. Below the limit, the kernel drops pages because of other processes.
 * - The sandbox read its whole memory again in each second. A sandbox that reads new files reads no page again.
 * - Major faults exceed MAJOR_PER_S and MAJOR_SHARE. Reading a file again by read(), or a mapped file in order, causes
 *   few major faults, because the kernel reads ahead.
 * - The code hardly ran, by the clock and by the pages that it read again. A slow sandbox still makes progress.
 */
export function thrashed(from: Sample, to: Sample, limitBytes: number): boolean {
  const seconds = (to.atMs - from.atMs) / 1000;
  const major = to.majorFaults - from.majorFaults;
  const refaults = to.refaults - from.refaults;
  const userUsec = to.userUsec - from.userUsec;
  return (
    seconds > 0 &&
    limitBytes > 0 &&
    Math.min(from.memBytes, to.memBytes) >= AT_LIMIT * limitBytes &&
    refaults * PAGE_BYTES >= limitBytes * seconds &&
    major >= MAJOR_PER_S * seconds &&
    major >= MAJOR_SHARE * (to.faults - from.faults) &&
    userUsec <= IDLE_SHARE * seconds * 1e6 &&
    userUsec <= USEC_PER_PAGE * refaults
  );
}

/**
 * Evaluates the samples of one sandbox.
 *
 * POLICY: the last THRASH_MS must count as thrashing as a whole, and most of its intervals must count, too. Some
 * intervals may fail the test, because a sandbox on a busy machine does not run in all of them. The test of the whole
 * period alone is not enough, because bursts of thrashing with waits between them are harmless.
 */
export class ThrashDetector {
  /** The samples since the last one that is at least THRASH_MS old. */
  private samples: Sample[] = [];

  constructor(private readonly limitBytes: number) {}

  /** Adds the next sample. Returns whether the sandbox thrashed in the last THRASH_MS. */
  add(sample: Sample): boolean {
    // Below the limit a sandbox does not thrash, so earlier samples are dropped.
    if (sample.memBytes < AT_LIMIT * this.limitBytes) {
      this.samples = [];
      return false;
    }
    this.samples.push(sample);
    const first = this.samples.findLastIndex(({ atMs }) => sample.atMs - atMs >= THRASH_MS);
    if (first === -1) return false;
    this.samples.splice(0, first);
    const [from = sample] = this.samples;
    if (!thrashed(from, sample, this.limitBytes)) return false;
    let thrashedMs = 0;
    this.samples.forEach((to, index) => {
      const before = this.samples[index - 1];
      if (before !== undefined && thrashed(before, to, this.limitBytes)) thrashedMs += to.atMs - before.atMs;
    });
    return thrashedMs >= INTERVALS_SHARE * (sample.atMs - from.atMs);
  }
}
