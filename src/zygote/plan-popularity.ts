/** Evaluates the popularity policy at intervals and executes its decisions. One evaluation is called a look. */
import type { PackageImport } from '../sandbox/types';
import type { ZygoteGroups } from './fleet/groups';
import { dependenciesFirst } from './policy/import-order';
import { ROOT, below } from './plan-tree';
import { finishInSlices } from './policy/steps';
import type { PopularityTracker } from './learn/tracker';
import type { PackagePin, PinKey, ZygoteAction } from './policy/types';
import type { ZygotePlan } from './zygote-plan';

/** Minimum time between two looks, in ms. A look computes for a few ms; making a zygote takes a few hundred ms. */
const TICK_MS = 2000;
/**
 * The pause after a look lasts at least this many times the look's compute time. Looks then take at most 2 % of the
 * event loop.
 */
const PAUSE_PER_LOOK = 50;
/** Length of a slice of a look, in ms. A request waits for at most one slice. */
const SLICE_MS = 1;
/**
 * Delay of the first look after a new measurement, in ms. The delay is short, so that the second cold start may find a
 * zygote.
 */
const SOON_MS = 200;
/** Interval of looks without cold starts, in ms. These looks retire unused zygotes. */
const IDLE_TICK_MS = 30_000;

export interface PopularityPlannerOptions {
  tracker: PopularityTracker;
  groups: ZygoteGroups;
  /** Budget of zygotes, replicas and spares together, in MB. */
  budgetMb: number;
}

export class PopularityPlanner implements ZygotePlan {
  private timer: NodeJS.Timeout | undefined;
  private lastMs = 0;
  private lookMs = 0;
  /** True when the last look started zygotes. A look starts a few zygotes only, so the next look may start more. */
  private growing = false;
  /** Time of the next look, in ms of Date.now(); Infinity when no look is due, -Infinity once stopped. */
  private dueMs = Infinity;
  private looking: Promise<void> | undefined;

  constructor(private readonly options: PopularityPlannerOptions) {}

  asked(): void {
    // A look decides on zygotes.
  }

  deployed(pins: readonly PackagePin[]): void {
    this.options.tracker.deployed(
      pins.map(({ key }) => key),
      Date.now(),
    );
    this.measured();
  }

  used(): void {
    // A look decides on spares.
  }

  maintain(): void {
    // The planner has a timer of its own.
  }

  /** Schedules a look soon. */
  measured(): void {
    this.arm(Math.max(SOON_MS, this.lastMs + this.pauseMs - Date.now()));
  }

  private get pauseMs(): number {
    return Math.max(TICK_MS, PAUSE_PER_LOOK * this.lookMs);
  }

  start(): void {
    this.arm(SOON_MS);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.dueMs = -Infinity;
  }

  /** Performs a look synchronously. */
  tick(): void {
    const { tracker, groups, budgetMb } = this.options;
    this.lastMs = Date.now();
    for (const action of tracker.tick(this.lastMs, budgetMb, groups.live()).actions) this.carryOut(action);
  }

  /** Performs a look in slices. Only one look runs at a time; a second call returns the first call's promise. */
  look(): Promise<void> {
    this.looking ??= this.lookOnce().finally(() => (this.looking = undefined));
    return this.looking;
  }

  private async lookOnce(): Promise<void> {
    const { tracker, groups, budgetMb } = this.options;
    this.lastMs = Date.now();
    let lookMs = 0;
    const steps = tracker.tickSteps(this.lastMs, budgetMb, () => groups.live());
    const { actions } = await finishInSlices(steps, SLICE_MS, (ms) => {
      lookMs += ms;
    });
    this.lookMs = lookMs;
    if (this.dueMs === -Infinity) return;
    const before = groups.list().length;
    for (const action of actions) this.carryOut(action);
    this.growing = groups.list().length > before;
  }

  private arm(delayMs: number): void {
    const dueMs = Date.now() + delayMs;
    if (dueMs >= this.dueMs) return;
    clearTimeout(this.timer);
    this.dueMs = dueMs;
    this.timer = setTimeout(() => {
      this.dueMs = Infinity;
      void this.look().then(() => {
        this.arm(this.growing ? this.pauseMs : IDLE_TICK_MS);
      });
    }, delayMs).unref();
  }

  private carryOut(action: ZygoteAction): void {
    const { groups } = this.options;
    if (action.kind === 'create') {
      this.create(action.parent, action.pins);
      return;
    }
    const group = groups.get(action.id);
    if (group === undefined) return;
    if (action.kind === 'retire') groups.retire(group);
    else if (action.kind === 'revive') groups.revive(group);
    else if (action.kind === 'replicas') groups.setReplicas(group, action.count);
    else groups.setSpares(group, action.count);
  }

  private create(parentId: string | undefined, pins: readonly PinKey[]): void {
    const { groups } = this.options;
    if (parentId === undefined) {
      groups.ensure(ROOT, 1);
      return;
    }
    const parent = groups.get(parentId)?.spec;
    if (parent === undefined) return;
    const { packages } = this.options.tracker;
    const own = dependenciesFirst(
      pins.filter((key) => !parent.pins.includes(key)),
      packages.requiresOf,
    );
    const imports = new Map<PinKey, PackageImport>();
    for (const key of own) {
      const found = packages.importOf(key);
      // A seed may name packages that no function of this worker has required yet. A zygote with such a package is made
      // after the first request for the package.
      if (found === undefined) return;
      imports.set(key, found);
    }
    groups.ensure(below(parent, imports), 1);
  }
}
