/** Bounds the number of simultaneously running instances of a function by their measured demand for processor time. */
import { readFileSync } from 'node:fs';

/**
 * POLICY: a function that computes runs this many instances per processor. More instances would only wait for each
 * other.
 */
const PER_CPU = 2;
/** Half-life of a measurement, in ms of measured time. */
const HALF_LIFE_MS = 500;
/** Shortest interval between two measurements, in ms. Each measurement reads a file twice, 10 µs each. */
const EVERY_MS = 20;
/** Interval at which the bound is adapted, in ms. */
const LOOK_MS = 100;
const NS_PER_MS = 1e6;

/**
 * Returns the number of instances whose demands add up to PER_CPU times the time of all processors.
 * POLICY: an instance that waits for input or output needs almost no processor time. A function that waits may
 * therefore have one instance for each call.
 * @param demand share of a call's time in which its instance computes or waits for a processor, 0 to 1
 */
export function worthRunning(demand: number, cpus: number): number {
  return demand <= 0 ? Infinity : Math.max(1, Math.ceil((PER_CPU * cpus) / Math.min(1, demand)));
}

/** Time for which the first thread of a process has computed or waited for a processor, in ms; undefined if unknown. */
export function demandedMs(pid: number): number | undefined {
  try {
    const [ranNs = NaN, waitedNs = NaN] = readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ').map(Number);
    return Number.isFinite(ranNs + waitedNs) ? (ranNs + waitedNs) / NS_PER_MS : undefined;
  } catch {
    return undefined;
  }
}

interface Sample {
  readonly pid: number;
  fromMs: number;
  demandedMs: number;
}

export class ProcessorDemand {
  private wantedMs = 0;
  private sampledMs = 0;
  private sample: Sample | undefined;
  private lastSampleMs = -Infinity;
  private lookedMs = -Infinity;
  private ended = 0;
  /** Instances beyond the computed bound. */
  private extra = 0;

  /** @param now in ms, of a monotonic clock @param read see demandedMs() */
  constructor(
    private readonly cpus: number,
    private readonly now: () => number,
    private readonly read: (pid: number) => number | undefined = demandedMs,
  ) {}

  /**
   * Records that an instance has a call.
   * @param busy number of busy instances; nothing is measured while there is at most one per processor
   */
  began(pid: number, busy: number): void {
    const fromMs = this.now();
    if (busy <= this.cpus || this.sample !== undefined || fromMs - this.lastSampleMs < EVERY_MS) return;
    const demanded = this.read(pid);
    if (demanded === undefined) return;
    this.sample = { pid, fromMs, demandedMs: demanded };
  }

  /** Records that the call of an instance has ended. */
  left(pid: number): void {
    this.ended++;
    if (this.sample?.pid !== pid) return;
    this.measure(this.sample);
    this.sample = undefined;
    this.lastSampleMs = this.now();
  }

  /** Maximum number of instances that may have calls while other calls wait. */
  get most(): number {
    const nowMs = this.now();
    if (nowMs - this.lookedMs >= LOOK_MS) this.look(nowMs);
    return this.sampledMs === 0 ? Infinity : worthRunning(this.wantedMs / this.sampledMs, this.cpus) + this.extra;
  }

  /**
   * Adapts the bound.
   * POLICY: the bound grows by one at each look without an ended call. Otherwise short calls would wait for long ones.
   */
  private look(nowMs: number): void {
    const isLate = nowMs - this.lookedMs > 10 * LOOK_MS;
    if (isLate) this.extra = 0;
    else if (this.ended === 0) this.extra++;
    else this.extra = Math.max(0, this.extra - 1);
    this.lookedMs = nowMs;
    this.ended = 0;
    if (this.sample !== undefined) this.measure(this.sample);
  }

  /** Adds the time since the last measurement of the sample. */
  private measure(sample: Sample): void {
    const nowMs = this.now();
    const demanded = this.read(sample.pid);
    const passedMs = nowMs - sample.fromMs;
    if (demanded === undefined || passedMs <= 0) return;
    const kept = 0.5 ** (passedMs / HALF_LIFE_MS);
    this.wantedMs = this.wantedMs * kept + Math.min(passedMs, demanded - sample.demandedMs);
    this.sampledMs = this.sampledMs * kept + passedMs;
    sample.fromMs = nowMs;
    sample.demandedMs = demanded;
  }
}
