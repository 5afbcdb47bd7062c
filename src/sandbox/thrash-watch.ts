/** Ends sandboxes that thrash (thrash.ts). Looks only at those that have been busy with one request for a while. */
import { memoryAdvice } from './death';
import { MEGABYTE } from './slot';
import { ThrashDetector, type Pressure } from './thrash';
import type { SandboxLimits } from './types';

/** Between two looks, ms: five of them fit into THRASH_MS. */
const TICK_MS = 240;
/** A request that takes no longer costs nothing; it is also the most that a thrashing one has computed before, ms. */
const BUSY_MS = 300;
/** POLICY: reading takes the helper some 0.1 ms, so it spends a fortieth of its time on this at most. */
const MOST_AT_ONCE = 60;

/** A sandbox, as far as it is watched. */
export interface Watched {
  readonly limits: SandboxLimits;
  /** Ms of performance.now() since which it has been busy without a pause; undefined while it is idle. */
  readonly busySince: number | undefined;
  /** Undefined where nobody counts it. */
  pressure(): Promise<Pressure | undefined>;
  /** Ends it as if it had ended by itself, for the reason given. */
  fail(why: string): void;
}

export class ThrashWatch {
  private readonly timer: NodeJS.Timeout;
  private detectors = new WeakMap<Watched, ThrashDetector>();
  private next = 0;
  private looking = false;

  /** @param list all sandboxes there are */
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

  /** One look at those that are busy, in turns when there are many. */
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
    // A sandbox that ends meanwhile is nobody's concern here.
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
