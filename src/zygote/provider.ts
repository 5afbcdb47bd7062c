/**
 * Makes leaves by the cheapest way that is available now: a parked spare, a fork of the zygote that saves the most
 * import time, or a fresh process. Missing zygotes are made in the background. A start waits for such a zygote only
 * when the zygote is expected before the start's own turn to import (starts/queue.ts).
 *
 * Invariant: a zygote serves a function only if the function's own requirements contain every package that the zygote
 * may have imported, by name and version (match.ts). choose() applies this rule and checks nothing else.
 */
import type { ImportCache } from '../config/types';
import { ArgyleError } from '../errors';
import type { Stats } from '../metrics';
import type { BootInfo } from '../sandbox/answer/boot-report';
import type { SandboxFactory } from '../sandbox/factory';
import { Lease } from '../sandbox/lease';
import type { LeafSpec, PackageImport, Sandbox, SandboxProvider, StartWish } from '../sandbox/types';
import type { ColdStart, ColdStartRecorder } from './learn/cold-start';
import type { Group, ZygoteGroups } from './fleet/groups';
import type { ZygoteProcess } from './fleet/zygote-process';
import { leastLoaded, lookupPins } from './policy/lookup';
import { pinOf, pinsByName } from './policy/match';
import type { ZygotePackages } from './plan-tree';
import { describeZygotes } from './report';
import { freshProfile, type StartProfiles } from './starts/start-profiles';
import { leaveWhenIdle } from './starts/leave-when-idle';
import type { StartProfile, StartQueue, Turn } from './starts/queue';
import type { CostOf, PackagePin, PinKey, ZygoteReport } from './policy/types';
import type { ZygotePlan } from './zygote-plan';

export interface ProviderOptions {
  /** Shown in the report. */
  mode: ImportCache;
  factory: SandboxFactory;
  groups: ZygoteGroups;
  stats: Stats;
  packages: Pick<ZygotePackages, 'installedVersion'>;
  costOf: CostOf;
  /** The queue in which starts wait for their turn. */
  starts: StartQueue;
  kinds: StartProfiles;
  recorder: ColdStartRecorder;
  /** The plan of zygotes; when absent, there are no zygotes and every leaf is a fresh process. */
  plan?: ZygotePlan | undefined;
  /** Budget of `popularity` in MB, shown in the report; 0 means no separate limit. */
  budgetMb: number;
}

/** Interval of maintenance, ms. */
const MAINTAIN_MS = 10_000;
/** Errors that a start of any other kind would get as well. */
const FINAL = new Set(['MEMORY_EXHAUSTED', 'HELPER_GONE', 'HELPER_START', 'SHUTTING_DOWN']);

/** Limit for the functions whose import time is remembered. */
const MEMO = 4096;
/** Limit for attempts to fork in one start; after that the start uses a fresh process. */
const MAX_FORKS = 2;
/** The wish of a caller that never cancels its start. */
const WANTED: StartWish = { isWanted: () => true, onTurn: () => undefined };

interface Choice {
  group: Group;
  zygote: ZygoteProcess;
}

export class ZygoteProvider implements SandboxProvider {
  private readonly pinCache = new Map<string, PackagePin>();
  /**
   * Import time of a function's code, by code directory, in ms. Used for fresh starts, which have no learnt package
   * costs.
   */
  private readonly seenMs = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: ProviderOptions) {}

  /** Makes the first zygotes and starts maintenance. */
  start(): void {
    const { plan, groups, recorder } = this.options;
    if (plan === undefined) return;
    plan.start();
    this.timer = setInterval(() => {
      void groups.refresh();
      recorder.maintain();
      plan.maintain();
    }, MAINTAIN_MS).unref();
  }

  /** Ends all zygotes. A zygote's end kills its leaves, so callers destroy the leaves first. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    this.options.plan?.stop();
    await this.options.recorder.stop();
    await this.options.groups.close();
  }

  /** createWhile() for a start that is never cancelled. */
  async create(spec: LeafSpec): Promise<Sandbox> {
    const sandbox = await this.createWhile(spec, WANTED);
    if (sandbox === undefined) throw new ArgyleError('SANDBOX_CREATE', 'a start that is wanted was given up');
    return sandbox;
  }

  /**
   * Makes a leaf after its turn has come; undefined when the start is no longer wanted then. When a zygote fails to
   * fork, the zygote is replaced and one more fork is tried. Errors in FINAL are thrown. After any other failure of a
   * fork, the leaf is a fresh process.
   *
   * @throws ArgyleError SANDBOX_CREATE, MEMORY_EXHAUSTED, SHUTTING_DOWN, HELPER_*.
   */
  async createWhile(spec: LeafSpec, wish: StartWish): Promise<Sandbox | undefined> {
    const { plan, starts, kinds, stats, groups, recorder } = this.options;
    const { name: fn } = spec.boot;
    if (plan === undefined || spec.boot.runtime !== 'python') {
      const turn = await starts.enter(fn, freshProfile(spec.packages.length, this.seenMs.get(spec.codeName)), wish);
      return turn === undefined ? undefined : this.fresh(spec, turn, undefined);
    }
    const pins = this.pinsOf(spec.packages);
    const wanted = new Set(pins.map(({ key }) => key));
    setImmediate(() => {
      recorder.asked(spec.packages, pins);
      plan.asked(spec, pins);
    });
    let kind: StartProfile = kinds.of(pins, spec.packages, Math.max(0, spec.boot.sys_path.length - pins.length));
    for (let forks = 0; ; forks++) {
      // enter() returns a turn synchronously when one is free, which is the usual case. No await is needed then.
      const entered = starts.enter(fn, kind, forks === 0 ? wish : WANTED);
      const turn = entered instanceof Promise ? await entered : entered;
      if (turn === undefined) return undefined;
      const cold: ColdStart = { fn, pins, startMs: performance.now() };
      const choice = forks < MAX_FORKS ? this.choose(wanted) : undefined;
      if (choice === undefined) {
        stats.count('ImportCache.miss');
        return this.fresh(spec, turn, cold);
      }
      try {
        return await this.fork(choice, spec, cold, turn);
      } catch (error) {
        turn.leave();
        const code = error instanceof ArgyleError ? error.code : undefined;
        if (code !== undefined && FINAL.has(code)) throw error;
        stats.count('ImportCache.fork-failed');
        if (code === 'ZYGOTE_FAILED') groups.replace(choice.group, choice.zygote);
        if (code !== 'ZYGOTE_FAILED' || forks + 1 === MAX_FORKS) {
          // The next attempt is a fresh process, even if a zygote exists by then.
          forks = MAX_FORKS;
          kind = freshProfile(spec.packages.length, this.seenMs.get(spec.codeName));
        }
      }
    }
  }

  /** Call this with the installed packages of a deployed function. A zygote may then be made before the first call. */
  deployed(packages: readonly PackageImport[]): void {
    const { plan, recorder } = this.options;
    if (packages.length === 0 || plan?.deployed === undefined) return;
    const pins = this.pinsOf(packages);
    recorder.asked(packages, pins);
    plan.deployed(pins);
  }

  /** Body of GET /zygotes. */
  report(): ZygoteReport {
    return describeZygotes(this.options.groups, this.options.mode, this.options.budgetMb);
  }

  /**
   * Chooses the zygote that saves the most import time: a process with a spare if there is one, else the least loaded
   * process.
   */
  private choose(wanted: ReadonlySet<PinKey>): Choice | undefined {
    const { groups, costOf } = this.options;
    const group = lookupPins(groups.forkable(), wanted, costOf)?.zygote;
    if (group === undefined) return undefined;
    const ready = group.processes.filter(({ isReady }) => isReady);
    const zygote = ready.find(({ spares }) => (spares?.size ?? 0) > 0) ?? leastLoaded(ready);
    return zygote === undefined ? undefined : { group, zygote };
  }

  /** Starts a fresh process; without `cold` the recorder learns nothing from the start. */
  private async fresh(spec: LeafSpec, turn: Turn, cold: ColdStart | undefined): Promise<Sandbox> {
    const ends = { onAnswer: turn.leave, onDestroyed: turn.leave };
    const onBoot = ({ importMs }: BootInfo): void => {
      turn.leave();
      if (this.seenMs.size > MEMO) this.seenMs.clear();
      this.seenMs.set(spec.codeName, importMs);
    };
    const hooks =
      cold === undefined
        ? { onBoot, onDestroyed: turn.leave }
        : this.options.recorder.hooks(cold, { kind: 'fresh', preimported: [], ...ends });
    try {
      return this.started(await this.options.factory.fresh(spec, hooks), turn);
    } catch (error) {
      turn.leave();
      throw error;
    }
  }

  /**
   * Ends the turn of a light start, which is complete. A start that still imports keeps its turn until it has answered
   * or is idle.
   */
  private started(sandbox: Sandbox, turn: Turn): Sandbox {
    if (turn.isLight) turn.leave();
    else leaveWhenIdle(sandbox, turn, this.options.starts);
    return sandbox;
  }

  private async fork({ group, zygote }: Choice, leaf: LeafSpec, cold: ColdStart, turn: Turn): Promise<Sandbox> {
    const { factory, stats, recorder, plan } = this.options;
    const spec = zygote.pins.length > 0 ? recorder.toStart(leaf) : leaf;
    zygote.markUsed();
    plan?.used(group);
    stats.count(zygote.pins.length > 0 ? 'ImportCache.hit' : 'ImportCache.root-hit');
    const start = { preimported: zygote.pins, leaf: spec, onAnswer: turn.leave, onDestroyed: turn.leave };
    const spare = zygote.spares?.take(spec.limits);
    if (spare !== undefined) {
      try {
        const hooks = recorder.hooks(cold, { ...start, kind: 'spare' });
        const sandbox = await factory.go(spare.slot, spec, zygote.slot.pid, spare.lease, hooks);
        zygote.fromSpares++;
        return this.started(sandbox, turn);
      } catch (error) {
        if (error instanceof ArgyleError && FINAL.has(error.code)) throw error;
        stats.count('ImportCache.spare-failed');
        if (!zygote.isReady) throw new ArgyleError('ZYGOTE_FAILED', 'the zygote ended', { cause: error });
      }
    }
    const lease = new Lease();
    lease.descendFrom(zygote);
    zygote.inFlight++;
    try {
      const hooks = recorder.hooks(cold, { ...start, kind: 'fork' });
      return this.started(await factory.fork(zygote.slot, spec, hooks, lease), turn);
    } finally {
      zygote.inFlight--;
    }
  }

  private pinsOf(packages: readonly PackageImport[]): PackagePin[] {
    return [...pinsByName(packages.map(({ spec }) => this.pin(spec))).values()];
  }

  /**
   * Parses a spec with a cache. A spec without a version is not cached, because another version may be installed later.
   */
  private pin(spec: string): PackagePin {
    const cached = this.pinCache.get(spec);
    if (cached !== undefined) return cached;
    const pin = pinOf(spec, this.options.packages.installedVersion(spec));
    if (this.pinCache.size > 10_000) this.pinCache.clear();
    if (pinOf(spec).version !== undefined) this.pinCache.set(spec, pin);
    return pin;
  }
}
