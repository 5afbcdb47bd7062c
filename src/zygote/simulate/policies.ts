/** The policies that the simulator compares. The worker is the same for all; only the zygotes differ. */
import { setId } from '../policy/candidates';
import { DEFAULT_PARAMS, type PolicyParams } from '../policy/params';
import { desiredTree } from '../policy/popularity';
import { PopularityTracker, type TrackerOptions } from '../learn/tracker';
import type { DesiredTree, LiveZygote, PinKey, ZygoteAction } from '../policy/types';
import type { SimPolicy } from './engine';
import type { PackageData } from './reqbench';
import type { SimZygote, World } from './world';

/** Largest share of memory for zygotes and spares; instances always have the rest. */
export const ZYGOTE_SHARE = 0.5;

/** Largest share of memory that the popularity policy may use for zygotes; the policy finds the share by itself. */
export const MAX_SHARE = 0.9;
/** Memory that always stays with instances, in MB: two large instances that no zygote fits. */
const RESERVE_MB = 20;

/** Every cold start is a fresh process that imports everything. */
export function none(): SimPolicy {
  return { name: 'none' };
}

/** One zygote without imports. */
export function rootOnly(): SimPolicy {
  return { name: 'root', start: (world) => void world.create('', [], undefined, 0) };
}

/**
 * A static tree, fitted to the invocations of the warm-up by the popularity policy's algorithm with the true costs of
 * all packages. The tree never changes afterwards.
 */
export function staticTree(data: PackageData, share = ZYGOTE_SHARE, params: PolicyParams = DEFAULT_PARAMS): SimPolicy {
  const seen = new Map<string, { pins: readonly PinKey[]; count: number }>();
  let fitted: DesiredTree | undefined;
  return {
    name: 'static',
    start: (world) => void world.create('', [], undefined, 0),
    invoked: (_fn, pins) => {
      if (fitted !== undefined) return;
      const entry = seen.get(setId(pins)) ?? { pins, count: 0 };
      entry.count++;
      seen.set(setId(pins), entry);
    },
    warmedUp: (world, nowMs) => {
      fitted = desiredTree({
        demands: [...seen.values()].map(({ pins, count }) => ({ pins, ratePerSec: (count * 1000) / nowMs })),
        costOf: data.costOf,
        requiresOf: data.requiresOf,
        budgetMb: world.model.memoryMb * share,
        live: liveZygotes(world),
        excluded: () => false,
        params: { ...params, paybackSec: Infinity },
      });
      hold(world, fitted, nowMs);
    },
    // Zygotes that were evicted are made again.
    tick: (world, nowMs) => {
      if (fitted !== undefined) hold(world, fitted, nowMs);
    },
  };
}

/**
 * Makes a zygote for every set that misses, forked from the best existing zygote; evicts the least recently used
 * zygote.
 */
export function lru(share = ZYGOTE_SHARE): SimPolicy {
  const makeRoom = (world: World, mb: number): boolean => {
    while (world.zygoteMb + mb > world.model.memoryMb * share) {
      let oldest: SimZygote | undefined;
      for (const zygote of world.zygotes.values()) {
        if (zygote.parent === undefined || zygote.children.size > 0 || zygote.state === 'draining') continue;
        if (oldest === undefined || zygote.usedAtMs < oldest.usedAtMs) oldest = zygote;
      }
      if (oldest === undefined) return false;
      const before = world.zygoteMb;
      world.retire(oldest);
      if (world.zygoteMb === before) return false;
    }
    return true;
  };
  return {
    name: 'lru',
    start: (world) => void world.create('', [], undefined, 0),
    coldStart: (world, { pins, zygote, atMs }) => {
      const id = setId(pins);
      if (pins.length === 0 || world.zygotes.has(id) || zygote?.state !== 'ready') return;
      const mb = pins.reduce((sum, key) => sum + world.data.costOf(key).mb, world.model.nodeMb) - zygote.contentMb;
      // makeRoom() may have ended the zygote that was to be the parent.
      if (makeRoom(world, mb) && world.zygotes.get(zygote.id) === zygote) world.create(id, pins, zygote, atMs);
    },
  };
}

export interface PopularityOptions extends TrackerOptions {
  readonly share?: number;
  /** Packages of the functions that are deployed before the trace begins. */
  readonly deployed?: readonly (readonly PinKey[])[];
}

/** The popularity policy as the worker runs it. It starts without knowledge and learns costs from cold starts. */
export function popularity(data: PackageData, options: PopularityOptions = {}): SimPolicy {
  const tracker = new PopularityTracker(options);
  const known = new Set<string>();
  const asked = (pins: readonly PinKey[]): void => {
    for (const key of pins) {
      const names = known.has(key) ? undefined : data.requiresOf(key);
      known.add(key);
      if (names !== undefined) tracker.packages.requires(key, names);
    }
  };
  return {
    name: 'popularity',
    start: (world) => {
      world.onEvict = (fn, mb, atMs) => tracker.evicted(`${fn}`, mb, atMs);
      world.create('', [], undefined, 0);
      for (const pins of options.deployed ?? []) {
        asked(pins);
        tracker.deployed(pins, 0);
      }
    },
    coldStart: (_world, { atMs, fn, pins, start, zygote, importMs, coldMs, waitMs, mb }) => {
      asked(pins);
      tracker.observe({
        atMs,
        pins,
        start,
        preimported: zygote?.pins ?? [],
        importMs,
        fn: `${fn}`,
        coldMs,
        waitMs,
        waitedForMb: mb,
      });
    },
    tick: (world, nowMs) => {
      for (const zygote of world.zygotes.values()) {
        if (zygote.state === 'ready') for (const key of zygote.pins) tracker.imported(key, data.costOf(key));
      }
      const { memoryMb } = world.model;
      const budgetMb = Math.min(memoryMb * (options.share ?? MAX_SHARE), memoryMb - RESERVE_MB);
      for (const action of tracker.tick(nowMs, budgetMb, liveZygotes(world)).actions) apply(world, action, nowMs);
    },
  };
}

function parentIn(world: World, id: string | undefined): SimZygote | undefined {
  return id === undefined ? undefined : world.zygotes.get(id);
}

function liveZygotes(world: World): LiveZygote[] {
  return [...world.zygotes.values()].map((zygote) => ({
    id: zygote.id,
    parent: zygote.parent?.id,
    pins: zygote.pins,
    replicas: zygote.copies.length,
    spares: zygote.spares.length,
    state: zygote.state === 'gone' ? 'draining' : zygote.state,
  }));
}

function hold(world: World, desired: DesiredTree, nowMs: number): void {
  for (const { id, parent, pins } of desired.zygotes) {
    const above = parentIn(world, parent);
    if (!world.zygotes.has(id) && (parent === undefined || above !== undefined)) world.create(id, pins, above, nowMs);
  }
  for (const { id, replicas, spares } of desired.zygotes) {
    const zygote = world.zygotes.get(id);
    if (zygote === undefined || zygote.state === 'draining') continue;
    world.setCopies(zygote, replicas, nowMs);
    world.setSpares(zygote, spares, nowMs);
  }
}

function apply(world: World, action: ZygoteAction, nowMs: number): void {
  const zygote = world.zygotes.get(action.id);
  if (action.kind === 'create') {
    if (zygote === undefined) world.create(action.id, action.pins, parentIn(world, action.parent), nowMs);
  } else if (zygote === undefined) return;
  else if (action.kind === 'retire') world.retire(zygote);
  else if (action.kind === 'revive') zygote.state = 'ready';
  else if (action.kind === 'replicas') world.setCopies(zygote, action.count, nowMs);
  else if (zygote.state === 'ready' || zygote.state === 'creating') world.setSpares(zygote, action.count, nowMs);
}
