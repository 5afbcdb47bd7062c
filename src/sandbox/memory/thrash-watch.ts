/** Ends sandboxes that thrash (thrash.ts). Checks only sandboxes that have been busy for at least BUSY_MS. */
import { memoryAdvice } from '../death';
import { MEGABYTE } from '../slot/limits';
import { ThrashDetector, type Pressure } from './thrash';
import type { SandboxLimits } from '../types';

/** Interval between two checks, in ms. A sandbox is ended at the first check after THRASH_MS. */
const TICK_MS = 200;
/** Busy time before the first check, in ms. Shorter requests cause no check. */
const BUSY_MS = 200;
/**
 * POLICY: limit for sandboxes per check. One reading takes about 0.1 ms of the helper's time, so the checks take at
 * most 3 % of that time.
 */
const MOST_AT_ONCE = 60;

/** The part of a sandbox that the watch needs. */
export interface Watched {
  readonly limits: SandboxLimits;
  /** performance.now() at the start of the current busy period, in ms; undefined while idle. */
  readonly busySince: number | undefined;
  /** Resolves to undefined when the host does not count memory pressure. */
  pressure(): Promise<Pressure | undefined>;
  /** Ends the sandbox as if it had ended by itself, for the reason `why`. */
  fail(why: string): void;
}

export class ThrashWatch {
  private readonly timer: NodeJS.Timeout;
  private detectors = new WeakMap<Watched, ThrashDetector>();
  private next = 0;
  private looking = false;

  /** @param list returns all sandboxes */
  constructor(
    private readonly list: () => Iterable<Watched>,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.timer = setInterval(() => {
      void this.look();
    }, TICK_MS);
    this.timer.unref();
  }

  close(): void {
    clearInterval(this.timer);
  }

  /** Checks the busy sandboxes once, in turns when there are more than MOST_AT_ONCE. */
  async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    const nowMs = this.now();
    const busy = [...this.list()].filter(
      ({ busySince, limits }) => busySince !== undefined && limits.memMb > 0 && nowMs - busySince >= BUSY_MS,
    );
    const first = busy.length === 0 ? 0 : this.next % busy.length;
    const chosen = [...busy.slice(first), ...busy.slice(0, first)].slice(0, MOST_AT_ONCE);
    this.next = first + chosen.length;
    await Promise.all(chosen.map((sandbox) => this.lookAt(sandbox)));
    this.looking = false;
  }

  private async lookAt(sandbox: Watched): Promise<void> {
    // An error of a sandbox that ends in parallel is ignored.
    const pressure = await sandbox.pressure().catch(() => undefined);
    if (pressure === undefined || sandbox.busySince === undefined) return;
    let detector = this.detectors.get(sandbox);
    if (detector === undefined) {
      detector = new ThrashDetector(sandbox.limits.memMb * MEGABYTE);
      this.detectors.set(sandbox, detector);
    }
    if (detector.add({ ...pressure, atMs: this.now() })) {
      sandbox.fail(
        `it did nothing but read its memory again from the disk (thrashing): ${memoryAdvice(sandbox.limits)}`,
      );
    }
  }
}
