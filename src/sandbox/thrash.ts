/**
 * When a sandbox counts as one that thrashes: it works at its memory limit, reads the same pages over and over, and
 * gets nothing done. The kernel kills it only once not even that frees a page, which may take minutes. Pure.
 */

/** What is counted of a sandbox since its start, but `memBytes`. */
export interface Pressure {
  memBytes: number;
  /** Pages that were read again after the kernel had dropped them to keep the limit. */
  refaults: number;
  /** Page faults that had to wait for a disk, and all of them. */
  majorFaults: number;
  faults: number;
  /** Processor time in user mode, us. */
  userUsec: number;
}

export interface Sample extends Pressure {
  /** When it was taken, ms of any clock that goes forward. */
  atMs: number;
}

/** POLICY: shorter than what a cold import at a tight limit needs to get over, and ended within 2 s all the same. */
export const THRASH_MS = 1200;
/** Of the memory limit, from which on pages are dropped because of it. */
const AT_LIMIT = 0.9;
/** Processor time of user code over time passed: less is no progress. One CPU that computes is 1. */
const IDLE_SHARE = 0.05;
/** Faults that waited for a disk, of all. Code and data that are read in order have some 16 others for each of these. */
const MAJOR_SHARE = 0.25;
/** Waiting faults in a second. A process that only waits for something has none. */
const MAJOR_PER_S = 20;
const PAGE_BYTES = 4096;

/**
 * Whether it thrashed between two samples. All must hold, for each alone is harmless:
 * - it is at its limit: or what was read again was dropped for somebody else's sake;
 * - it read its whole memory again in each second: one that reads new files reads nothing again;
 * - by faults that waited for a disk, more than a few and most of all: one that reads a file again by read(), or a
 *   mapped one in order, has few of them, since the kernel reads ahead;
 * - and its code hardly ran: slow is not stuck.
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

/** Follows one sandbox. */
export class ThrashDetector {
  private last: Sample | undefined;
  private sinceMs: number | undefined;

  constructor(private readonly limitBytes: number) {}

  /** Takes the next sample. Returns whether it has thrashed in each interval of the last THRASH_MS. */
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
