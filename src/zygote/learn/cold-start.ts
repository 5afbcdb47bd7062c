/** Records cold starts for the tracker, which learns from them, and for the evictor. */
import type { BootInfo } from '../../sandbox/answer/boot-report';
import type { LeafHooks } from '../../sandbox/factory';
import type { LeafSpec, PackageImport, StartKind } from '../../sandbox/types';
import type { SubmoduleLearner } from './learner';
import type { ZygotePackages } from '../plan-tree';
import { FORK_MS, FRESH_MS } from '../starts/start-profiles';
import type { PopularityTracker } from './tracker';
import type { PackagePin, PinKey } from '../policy/types';
import type { ZygotePlan } from '../zygote-plan';

/**
 * POLICY: a wait for memory that is shorter than this, in ms, counts as no wait. A request for free memory also takes a
 * few µs.
 */
const WAIT_MIN_MS = 1;

/**
 * POLICY: least time that a kept instance saves besides imports, in ms. Where memory is short, a forked start takes 7 to
 * 8 ms until its answer, and a thaw 1.6 ms. In simulations with forks of 6 ms, a value of 2 ms makes the cold starts
 * together take up to 27 % longer than a value of 6 ms. With forks of 0.7 to 2.5 ms, a value of 2 ms saves nothing.
 */
const KEPT_SAVES_MS = 6;

/** One cold start. */
export interface ColdStart {
  fn: string;
  pins: readonly PackagePin[];
  /** performance.now() at the start of the turn. */
  startMs: number;
}

export interface RecorderOptions {
  tracker: PopularityTracker;
  packages: Pick<ZygotePackages, 'dependenciesOf'>;
  /** Learns which submodules zygotes should also import. */
  learner?: SubmoduleLearner;
  plan?: Pick<ZygotePlan, 'measured'> | undefined;
}

/** How a leaf was started. */
export interface LeafStart {
  kind: StartKind;
  /** Packages that the leaf's zygote had imported. */
  preimported: readonly PinKey[];
  /** The spec of the start from a zygote; absent for a fresh start. */
  leaf?: LeafSpec;
  /** Called at the first answer, and at the end of the leaf. */
  onAnswer: () => void;
  onDestroyed: () => void;
}

/** Records the cold starts of one worker. */
export class ColdStartRecorder {
  constructor(private readonly options: RecorderOptions) {}

  /**
   * Records the modules that a function's packages provide, and the dependencies of these packages. Runs outside the
   * request path.
   */
  asked(packages: readonly PackageImport[], pins: readonly PackagePin[]): void {
    const { packages: book } = this.options.tracker;
    const bySpec = new Map(packages.map((found) => [found.spec, found]));
    for (const { key, spec } of pins) {
      const found = bySpec.get(spec);
      if (found !== undefined) book.know(key, found);
      if (book.requiresOf(key) !== undefined) continue;
      const needed = this.options.packages.dependenciesOf({ spec, hashes: [] });
      if (needed !== undefined) book.requires(key, needed);
    }
  }

  /**
   * Returns the spec for a start from a zygote with packages. The spec requests a report of submodules while the
   * learner needs reports.
   */
  toStart(leaf: LeafSpec): LeafSpec {
    return this.options.learner?.learn(leaf) ?? leaf;
  }

  /** Checks for renewals whose back-off has passed. */
  maintain(): void {
    void this.options.learner?.look();
  }

  async stop(): Promise<void> {
    await this.options.learner?.stop();
  }

  /** Returns hooks that report the result of a start to the tracker, the learner and the plan. */
  hooks(cold: ColdStart, start: LeafStart): LeafHooks {
    const { tracker, learner, plan } = this.options;
    const { fn, pins, startMs } = cold;
    const keys = pins.map(({ key }) => key);
    const startCostMs = start.kind === 'fresh' ? FRESH_MS : FORK_MS;
    let importMs: number | undefined;
    let waitMs = 0;
    let waitedForMb = 0;
    let memoryMs = startMs;
    const onMemory = (ms: number, mb: number): void => {
      waitMs = ms < WAIT_MIN_MS ? 0 : ms;
      waitedForMb = mb;
      memoryMs = performance.now();
    };
    const onBoot = (info: BootInfo): void => {
      start.onAnswer();
      importMs = info.importMs;
      const { leaf, preimported } = start;
      if (leaf?.boot.learn === true) learner?.record(leaf, pins, info.submodules ?? {});
      // The cost excludes the handler's own time before its first answer, because a kept instance would not save that
      // time.
      const coldMs = memoryMs - startMs + startCostMs + importMs;
      const found = { importMs, fn, coldMs, waitMs, waitedForMb };
      tracker.observe({ atMs: Date.now(), pins: keys, start: start.kind, preimported, ...found });
      plan?.measured();
    };
    const tier = start.preimported.length > 0 ? ('packages' as const) : ('root' as const);
    return {
      ...(start.kind === 'fresh' ? {} : { tier }),
      onBoot,
      onMemory,
      onEvicted: (mb) => {
        tracker.evicted(fn, mb, Date.now());
      },
      savesMs: () => Math.max(startCostMs, KEPT_SAVES_MS) + (importMs ?? 0),
      onDestroyed: start.onDestroyed,
    };
  }
}
