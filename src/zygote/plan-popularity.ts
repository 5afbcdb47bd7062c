/** Lets the popularity policy look at what was asked for every now and then, and carries out what it decides. */
import type { PackageImport } from '../sandbox/types';
import type { ZygoteGroups } from './groups';
import { nameOfKey } from './match';
import { ROOT, below } from './plan-tree';
import { finishInSlices } from './steps';
import type { PopularityTracker } from './tracker';
import type { PinKey, ZygoteAction } from './types';

/** Shortest time between two looks, ms. A look computes for some ms, and zygotes take some hundred to make. */
const TICK_MS = 2000;
/** A look computes on the event loop: the pause after it is at least this many times as long, so 2 % at most. */
const PAUSE_PER_LOOK = 50;
/** It computes in slices of about this length, ms, so that no request waits for more of it than that. */
const SLICE_MS = 1;
/** First look after something new was asked for, ms: soon, so that the second cold start may find a zygote. */
const SOON_MS = 200;
/** Looks without anything having been asked for, so that unused zygotes go, ms. */
const IDLE_TICK_MS = 30_000;
/** Packages whose modules are remembered. */
const CATALOG = 8192;

export interface PopularityPlannerOptions {
  tracker: PopularityTracker;
  groups: ZygoteGroups;
  /** MB for zygotes, replicas and spares together. */
  budgetMb: number;
}

export class PopularityPlanner {
  private readonly catalog = new Map<PinKey, PackageImport>();
  private readonly requirements = new Map<PinKey, readonly string[]>();
  private timer: NodeJS.Timeout | undefined;
  private lastMs = 0;
  private lookMs = 0;
  /** -Infinity once stopped. */
  private dueMs = Infinity;
  private looking: Promise<void> | undefined;

  constructor(private readonly options: PopularityPlannerOptions) {}

  /** Remembers what a package provides, so that a zygote can be made with it. */
  know(key: PinKey, found: PackageImport): void {
    // A spec without a version may mean another one by now: who asked last knows.
    if (this.catalog.get(key)?.spec === found.spec) return;
    if (this.catalog.size >= CATALOG) this.catalog.clear();
    this.catalog.set(key, found);
  }

  /** Notes the names that a package needs. */
  requires(key: PinKey, names: readonly string[]): void {
    this.requirements.set(key, names);
    this.options.tracker.requires(key, names);
  }

  /** Something was asked for: looks again soon. */
  poke(): void {
    const pauseMs = Math.max(TICK_MS, PAUSE_PER_LOOK * this.lookMs);
    this.arm(Math.max(SOON_MS, this.lastMs + pauseMs - Date.now()));
  }

  start(): void {
    this.arm(SOON_MS);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.dueMs = -Infinity;
  }

  /** Looks now, and computes to the end at once. */
  tick(): void {
    const { tracker, groups, budgetMb } = this.options;
    this.lastMs = Date.now();
    for (const action of tracker.tick(this.lastMs, budgetMb, groups.live()).actions) this.carryOut(action);
  }

  /** Looks now, in slices. One look at a time: a second one has the first one's result. */
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
    if (this.dueMs !== -Infinity) for (const action of actions) this.carryOut(action);
  }

  private arm(delayMs: number): void {
    const dueMs = Date.now() + delayMs;
    if (dueMs >= this.dueMs) return;
    clearTimeout(this.timer);
    this.dueMs = dueMs;
    this.timer = setTimeout(() => {
      this.dueMs = Infinity;
      void this.look().then(() => {
        this.arm(IDLE_TICK_MS);
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
    const own = this.ordered(pins.filter((key) => !parent.pins.includes(key)));
    const imports = new Map<PinKey, PackageImport>();
    for (const key of own) {
      const found = this.catalog.get(key);
      // A seed may name packages that nobody has asked this worker for yet; their turn comes when somebody does.
      if (found === undefined) return;
      imports.set(key, found);
    }
    groups.ensure(below(parent, imports), 1);
  }

  /** Dependencies first, so that each package's measured cost is its own. */
  private ordered(keys: readonly PinKey[]): PinKey[] {
    const byName = new Map(keys.map((key) => [nameOfKey(key), key]));
    const done = new Set<PinKey>();
    const seen = new Set<PinKey>();
    const visit = (key: PinKey): void => {
      if (seen.has(key)) return;
      seen.add(key);
      for (const name of this.requirements.get(key) ?? []) {
        const needed = byName.get(name);
        if (needed !== undefined) visit(needed);
      }
      done.add(key);
    };
    keys.forEach(visit);
    return [...done];
  }
}
