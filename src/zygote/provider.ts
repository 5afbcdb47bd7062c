/**
 * Makes leaves by the cheapest way that is open right now: a parked spare, a fork of the zygote that saves the most
 * import time, or a fresh process. Zygotes that are missing are made in the background; no request waits for one.
 *
 * Invariant: a zygote serves a function only if every package that it may have imported stands in the function's own
 * requirements, name and version (match.ts); choose() asks nothing else of it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ImportCache } from '../config/types';
import { ArgyleError } from '../errors';
import type { Stats } from '../metrics';
import type { LeafHooks, SandboxFactory } from '../sandbox/factory';
import type { BootInfo } from '../sandbox/answer/boot-report';
import type { LeafSpec, Sandbox, SandboxProvider, StartKind } from '../sandbox/types';
import type { Group, ZygoteGroups } from './groups';
import type { SubmoduleLearner } from './learner';
import type { ZygoteProcess } from './live';
import { leastLoaded, lookupPins } from './lookup';
import { pinOf, pinsByName } from './match';
import type { PopularityPlanner } from './plan-popularity';
import { ROOT, type TreePlanner, type ZygotePackages } from './plan-tree';
import { describeZygotes } from './report';
import type { PopularityTracker } from './tracker';
import type { PackagePin, PinKey, ZygoteReport } from './types';

export interface ProviderOptions {
  mode: ImportCache;
  factory: SandboxFactory;
  groups: ZygoteGroups;
  stats: Stats;
  packages: ZygotePackages;
  tracker: PopularityTracker;
  /** Learns which submodules zygotes should import as well. */
  learner?: SubmoduleLearner;
  /** For `tree` and `multitree`. */
  tree?: TreePlanner;
  /** For `popularity`. */
  popularity?: PopularityPlanner;
  /** Processes per node of a static tree; treeReplicas(). */
  replicas: number;
  /** argyle.spares_per_zygote, for static trees; the popularity policy decides for itself. */
  sparesPerZygote: number;
  /** MB that `popularity` may hold, for the report; 0 for no limit of its own. */
  budgetMb: number;
}

/** POLICY: a static tree's zygote keeps spares while it was forked within this time, ms. */
const HOT_MS = 60_000;
const COOL_EVERY_MS = 10_000;
/** What making a sandbox costs besides imports, ms, for the evictor: a fresh Python, a fork. */
const FRESH_MS = 20;
const FORK_MS = 2;
/** POLICY: memory that was there at once took some µs to get, which is no wait and has no price. */
const WAIT_MIN_MS = 1;
/**
 * Longest wait for a zygote that died and is made again, ms. A fresh process would import the same meanwhile, beside
 * those of all other calls.
 */
const REMADE_WAIT_MS = 2000;
/** Errors that no other way of starting would avoid. */
const FINAL = new Set(['MEMORY_EXHAUSTED', 'HELPER_GONE', 'HELPER_START', 'SHUTTING_DOWN']);

/** One cold start. */
interface Cold {
  fn: string;
  pins: readonly PackagePin[];
  /** performance.now() when it was asked for. */
  startMs: number;
}

interface Choice {
  group: Group;
  zygote: ZygoteProcess;
}

export class ZygoteProvider implements SandboxProvider {
  private readonly pinCache = new Map<string, PackagePin>();
  private cooling: NodeJS.Timeout | undefined;

  constructor(private readonly options: ProviderOptions) {}

  /** Makes the root zygote ahead, and lets spares of cold zygotes go from now on. */
  start(): void {
    const { mode, groups, replicas, popularity } = this.options;
    if (mode === '') return;
    if (mode === 'popularity') popularity?.start();
    else groups.ensure(ROOT, replicas);
    this.cooling = setInterval(() => {
      this.cool();
    }, COOL_EVERY_MS).unref();
  }

  /** Ends all zygotes. Leaves must be gone before, or they end with them. */
  async close(): Promise<void> {
    clearInterval(this.cooling);
    this.options.popularity?.stop();
    await this.options.learner?.stop();
    await this.options.groups.close();
  }

  /**
   * Makes a leaf. A zygote that fails to fork is replaced and another way is tried once; any other failure of a fork
   * leads to a fresh process.
   *
   * @throws ArgyleError SANDBOX_CREATE, MEMORY_EXHAUSTED, HELPER_*.
   */
  async create(spec: LeafSpec): Promise<Sandbox> {
    const { mode, factory, stats, groups } = this.options;
    if (mode === '' || spec.boot.runtime !== 'python') return factory.fresh(spec);
    const startMs = performance.now();
    const pins = [...pinsByName(spec.packages.map(({ spec: name }) => this.pin(name))).values()];
    const cold: Cold = { fn: spec.boot.name, pins, startMs };
    const wanted = new Set(pins.map(({ key }) => key));
    setImmediate(() => {
      this.foresee(spec, pins);
    });
    for (let attempt = 0; attempt < 2; attempt++) {
      const remade = this.remade(wanted);
      if (remade !== undefined) await remade;
      const choice = this.choose(wanted);
      if (choice === undefined) break;
      try {
        return await this.fork(choice, spec, cold);
      } catch (error) {
        const code = error instanceof ArgyleError ? error.code : undefined;
        if (code !== undefined && FINAL.has(code)) throw error;
        stats.count('ImportCache.fork-failed');
        if (code !== 'ZYGOTE_FAILED') break;
        groups.replace(choice.group, choice.zygote);
      }
    }
    stats.count('ImportCache.miss');
    return factory.fresh(spec, this.hooks('fresh', cold, [], undefined));
  }

  /** Body of GET /zygotes. */
  report(): ZygoteReport {
    return describeZygotes(this.options.groups, this.options.mode, this.options.budgetMb);
  }

  /** Settles when the zygote that would serve best, and is being made again, is there; undefined when it is not one. */
  private remade(wanted: ReadonlySet<PinKey>): Promise<unknown> | undefined {
    const { groups, tracker } = this.options;
    const lost = [...groups.remaking()];
    if (lost.length === 0) return undefined;
    const best = lookupPins([...groups.forkable(), ...lost], wanted, tracker.costs.of)?.zygote;
    if (best?.creating === undefined || !lost.includes(best)) return undefined;
    return Promise.race([best.creating.catch(() => undefined), sleep(REMADE_WAIT_MS, undefined, { ref: false })]);
  }

  /** The process that saves the most; one with a spare before the least loaded one. */
  private choose(wanted: ReadonlySet<PinKey>): Choice | undefined {
    const { groups, tracker } = this.options;
    const group = lookupPins(groups.forkable(), wanted, tracker.costs.of)?.zygote;
    if (group === undefined) return undefined;
    const ready = group.processes.filter(({ isReady }) => isReady);
    const zygote = ready.find(({ spares }) => (spares?.size ?? 0) > 0) ?? leastLoaded(ready);
    return zygote === undefined ? undefined : { group, zygote };
  }

  private async fork({ group, zygote }: Choice, leaf: LeafSpec, cold: Cold): Promise<Sandbox> {
    const { factory, stats } = this.options;
    const spec = zygote.pins.length > 0 ? (this.options.learner?.teach(leaf) ?? leaf) : leaf;
    zygote.used();
    this.warm(group);
    stats.count(zygote.pins.length > 0 ? 'ImportCache.hit' : 'ImportCache.root-hit');
    const spare = zygote.spares?.take();
    if (spare !== undefined) {
      // The zygote's count of this descendant is the spare's until here, and the leaf's from now on.
      let counted = true;
      const release = (): void => {
        if (counted) zygote.release();
        counted = false;
      };
      try {
        const hooks = this.hooks('spare', cold, zygote.pins, release, spec);
        const sandbox = await factory.go(spare.slot, spec, zygote.slot.pid, spare.charge, hooks);
        zygote.fromSpares++;
        return sandbox;
      } catch (error) {
        release();
        if (error instanceof ArgyleError && FINAL.has(error.code)) throw error;
        stats.count('ImportCache.spare-failed');
        if (!zygote.isReady) throw new ArgyleError('ZYGOTE_FAILED', 'the zygote ended', { cause: error });
      }
    }
    zygote.retain();
    zygote.inFlight++;
    try {
      return await factory.fork(
        zygote.slot,
        spec,
        this.hooks('fork', cold, zygote.pins, () => zygote.release(), spec),
      );
    } catch (error) {
      zygote.release();
      throw error;
    } finally {
      zygote.inFlight--;
    }
  }

  private hooks(
    start: StartKind,
    { fn, pins, startMs }: Cold,
    preimported: readonly PinKey[],
    onDestroyed: (() => void) | undefined,
    leaf?: LeafSpec,
  ): LeafHooks {
    const { tracker } = this.options;
    const keys = pins.map(({ key }) => key);
    const startCostMs = start === 'fresh' ? FRESH_MS : FORK_MS;
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
      importMs = info.importMs;
      if (leaf?.boot.learn === true) this.options.learner?.told(leaf, pins, info.submodules ?? {});
      // The first answer also took the handler's own time, which no instance that is kept would save.
      const coldMs = memoryMs - startMs + startCostMs + importMs;
      tracker.observe({ atMs: Date.now(), pins: keys, start, preimported, importMs, fn, coldMs, waitMs, waitedForMb });
      this.options.popularity?.poke();
    };
    const savesMs = (): number => startCostMs + (importMs ?? 0);
    const onEvicted = (mb: number): void => {
      tracker.evicted(fn, mb, Date.now());
    };
    return { onBoot, onMemory, onEvicted, savesMs, ...(onDestroyed === undefined ? {} : { onDestroyed }) };
  }

  /** Off the request path: has what would have served it better made for the next one. */
  private foresee(spec: LeafSpec, pins: readonly PackagePin[]): void {
    const { tree, popularity, groups, replicas } = this.options;
    if (popularity !== undefined) {
      const byName = new Map(spec.packages.map((found) => [found.spec, found]));
      for (const { key, spec: name } of pins) {
        const found = byName.get(name);
        if (found !== undefined) popularity.know(key, found);
      }
    }
    tree?.plan(pins).then(
      (plan) => {
        plan.forEach((group) => {
          groups.ensure(group, replicas);
        });
      },
      // A node that names a package that cannot be installed: the plan is made anew at the next cold start.
      () => {
        this.options.stats.count('ImportCache.plan-failed');
      },
    );
  }

  private warm(group: Group): void {
    const { mode, groups, sparesPerZygote } = this.options;
    if (mode === 'popularity' || group.spares > 0 || sparesPerZygote === 0) return;
    setImmediate(() => {
      groups.setSpares(group, sparesPerZygote * group.replicas);
    });
  }

  private cool(): void {
    const { mode, groups } = this.options;
    void groups.refresh();
    this.options.learner?.look();
    if (mode === 'popularity') return;
    for (const group of groups.list()) {
      const lastMs = Math.max(0, ...group.processes.map(({ lastUsedMs }) => lastUsedMs));
      if (group.spares > 0 && Date.now() - lastMs > HOT_MS) groups.setSpares(group, 0);
    }
  }

  /** Parsing is cached; a spec that pins no version is looked up anew, since another may be installed by now. */
  private pin(spec: string): PackagePin {
    const cached = this.pinCache.get(spec);
    if (cached !== undefined) return cached;
    const pin = pinOf(spec, this.options.packages.installedVersion(spec));
    if (this.pinCache.size > 10_000) this.pinCache.clear();
    if (pinOf(spec).version !== undefined) this.pinCache.set(spec, pin);
    return pin;
  }
}
