/**
 * The memory of the simulated worker: paused instances, zygotes and spares under one budget. CostModel.eviction sets
 * the order of eviction for every policy. When a zygote ends, its descendants end, as in the real worker.
 */
import { Heap } from 'heap-js';
import { worth } from '../../sandbox/memory/evictor';
import { servesKeys } from '../policy/match';
import type { PinKey } from '../policy/types';
import type { CostModel } from './model';
import type { PackageData } from './reqbench';
import type { TracedFunction } from './trace';

export interface SimZygote {
  readonly id: string;
  readonly pins: readonly PinKey[];
  readonly parent: SimZygote | undefined;
  readonly children: Set<SimZygote>;
  readonly leaves: Set<SimInstance>;
  /** Import time in ms and memory in MB of all pins. */
  readonly ms: number;
  readonly contentMb: number;
  /** Charge of one copy, in MB. */
  readonly mb: number;
  state: 'creating' | 'ready' | 'draining' | 'gone';
  /** Time at which each copy can fork next, in ms. */
  copies: number[];
  /** Time at which each parked spare is ready, in ms. */
  spares: number[];
  usedAtMs: number;
}

export interface SimInstance {
  readonly fn: number;
  readonly mb: number;
  readonly zygote: SimZygote | undefined;
  /** Duration of the instance's cold start in ms. A kept instance saves this time. */
  savesMs: number;
  idleSinceMs: number;
}

interface Running {
  readonly instance: SimInstance;
  readonly endMs: number;
}

export class World {
  usedMb = 0;
  peakMb = 0;
  zygoteMb = 0;
  /** Background time spent on making zygotes, in ms. */
  buildMs = 0;
  built = 0;
  /** Called for every evicted idle instance. */
  onEvict: ((fn: number, mb: number, atMs: number) => void) | undefined;
  readonly zygotes = new Map<string, SimZygote>();
  private readonly idle = new Set<SimInstance>();
  private readonly idleOf: SimInstance[][];
  private readonly running = new Heap<Running>((a, b) => a.endMs - b.endMs);
  private readonly builds: { zygote: SimZygote; readyMs: number }[] = [];
  private queue: SimZygote[] = [];
  private nowMs = 0;

  constructor(
    readonly model: CostModel,
    readonly data: PackageData,
    functions: readonly TracedFunction[],
  ) {
    this.idleOf = functions.map(() => []);
  }

  /** Processes all events up to `nowMs`. */
  advance(nowMs: number): void {
    this.nowMs = nowMs;
    for (let next = this.running.peek(); next !== undefined && next.endMs <= nowMs; next = this.running.peek()) {
      this.running.pop();
      this.finish(next.instance, next.endMs);
    }
    for (const build of [...this.builds]) {
      if (build.readyMs > nowMs) continue;
      this.builds.splice(this.builds.indexOf(build), 1);
      if (build.zygote.state === 'creating') build.zygote.state = 'ready';
      this.startBuilds(build.readyMs);
    }
  }

  takeIdle(fn: number): SimInstance | undefined {
    const instance = this.idleOf[fn]?.pop();
    if (instance !== undefined) this.idle.delete(instance);
    return instance;
  }

  run(instance: SimInstance, endMs: number): void {
    this.running.push({ instance, endMs });
  }

  /**
   * Makes a new instance; evicts idle instances or waits for running ones.
   * @returns the instance, and the time at which its memory was free
   */
  makeInstance(
    fn: number,
    mb: number,
    zygote: SimZygote | undefined,
    nowMs: number,
  ): { instance: SimInstance; atMs: number } {
    let atMs = nowMs;
    while (!this.charge(mb)) {
      const next = this.running.pop();
      if (next === undefined) {
        if (this.giveUpZygote(zygote)) continue;
        throw new RangeError(`a memory budget of ${this.model.memoryMb} MB cannot hold an instance of ${mb} MB`);
      }
      atMs = next.endMs;
      this.finish(next.instance, next.endMs);
    }
    const instance: SimInstance = { fn, mb, zygote, savesMs: 0, idleSinceMs: 0 };
    zygote?.leaves.add(instance);
    return { instance, atMs };
  }

  /** Starts making a zygote; returns false when there is no memory. */
  create(id: string, pins: readonly PinKey[], parent: SimZygote | undefined, nowMs: number): boolean {
    let ms = 0;
    let contentMb = 0;
    for (const key of pins) {
      const cost = this.data.costOf(key);
      ms += cost.ms;
      contentMb += cost.mb;
    }
    const { rootMb, nodeMb } = this.model;
    const mb = parent === undefined ? rootMb + contentMb : nodeMb + contentMb - parent.contentMb;
    if (!this.charge(mb)) return false;
    this.zygoteMb += mb;
    const zygote: SimZygote = {
      id,
      pins,
      parent,
      children: new Set(),
      leaves: new Set(),
      ms,
      contentMb,
      mb,
      state: 'creating',
      copies: [0],
      spares: [],
      usedAtMs: nowMs,
    };
    parent?.children.add(zygote);
    this.zygotes.set(id, zygote);
    this.queue.push(zygote);
    this.startBuilds(nowMs);
    return true;
  }

  /** Ends a zygote with all its idle descendants. While a descendant is busy, the zygote drains. */
  retire(zygote: SimZygote): void {
    for (const child of [...zygote.children]) this.retire(child);
    this.setSpares(zygote, 0, 0);
    zygote.state = 'draining';
    for (const leaf of [...zygote.leaves]) if (this.idle.has(leaf)) this.evict(leaf);
    this.reap(zygote);
  }

  setSpares(zygote: SimZygote, count: number, readyMs: number): void {
    while (zygote.spares.length > count) {
      zygote.spares.pop();
      this.release(this.model.leafMb, true);
    }
    while (zygote.spares.length < count && this.charge(this.model.leafMb)) {
      this.zygoteMb += this.model.leafMb;
      zygote.spares.push(readyMs);
    }
  }

  setCopies(zygote: SimZygote, count: number, readyMs: number): void {
    while (zygote.copies.length > count) {
      zygote.copies.pop();
      this.release(zygote.mb, true);
    }
    while (zygote.copies.length < count && this.charge(zygote.mb)) {
      this.zygoteMb += zygote.mb;
      zygote.copies.push(readyMs);
    }
  }

  /** Returns the ready zygote that saves the most import time. */
  best(wanted: ReadonlySet<PinKey>): SimZygote | undefined {
    let best: SimZygote | undefined;
    for (const zygote of this.zygotes.values()) {
      if (zygote.state !== 'ready' || (best !== undefined && zygote.ms <= best.ms)) continue;
      if (servesKeys(zygote.pins, wanted)) best = zygote;
    }
    return best;
  }

  /** Ends spares, and then the least recently used zygote. Used only when no instance is idle or running. */
  private giveUpZygote(needed: SimZygote | undefined): boolean {
    let oldest: SimZygote | undefined;
    for (const zygote of this.zygotes.values()) {
      if (zygote.spares.length > 0) {
        this.setSpares(zygote, 0, 0);
        return true;
      }
      if (zygote === needed || zygote.children.size > 0 || zygote.state === 'draining') continue;
      if (oldest === undefined || zygote.usedAtMs < oldest.usedAtMs) oldest = zygote;
    }
    if (oldest !== undefined) this.retire(oldest);
    return oldest !== undefined;
  }

  private startBuilds(nowMs: number): void {
    while (this.builds.length < this.model.builders) {
      const zygote = this.queue.shift();
      if (zygote === undefined) return;
      if (zygote.state !== 'creating') continue;
      const ms = (this.model.freshMs + zygote.ms - (zygote.parent?.ms ?? 0)) * this.model.buildSlowdown;
      this.buildMs += ms;
      this.built++;
      this.builds.push({ zygote, readyMs: nowMs + ms });
    }
  }

  private charge(mb: number): boolean {
    while (this.usedMb + mb > this.model.memoryMb) {
      const victim = this.victim();
      if (victim === undefined) return false;
      this.evict(victim);
      this.onEvict?.(victim.fn, victim.mb, this.nowMs);
    }
    this.usedMb += mb;
    this.peakMb = Math.max(this.peakMb, this.usedMb);
    return true;
  }

  private victim(): SimInstance | undefined {
    if (this.model.eviction === 'lru') {
      const [oldest] = this.idle;
      return oldest;
    }
    let least: SimInstance | undefined;
    let leastWorth = Infinity;
    for (const instance of this.idle) {
      const { mb: freesMb, savesMs, idleSinceMs } = instance;
      const value = worth({ id: '', action: 'destroy', freesMb, savesMs, idleMs: this.nowMs - idleSinceMs });
      if (value < leastWorth) [least, leastWorth] = [instance, value];
    }
    return least;
  }

  private release(mb: number, ofZygotes: boolean): void {
    this.usedMb -= mb;
    if (ofZygotes) this.zygoteMb -= mb;
  }

  private finish(instance: SimInstance, nowMs: number): void {
    instance.idleSinceMs = nowMs;
    if (instance.zygote?.state === 'draining') {
      this.end(instance);
      return;
    }
    this.idle.add(instance);
    this.idleOf[instance.fn]?.push(instance);
  }

  private evict(instance: SimInstance): void {
    this.idle.delete(instance);
    const same = this.idleOf[instance.fn] ?? [];
    same.splice(same.indexOf(instance), 1);
    this.end(instance);
  }

  private end(instance: SimInstance): void {
    this.release(instance.mb, false);
    instance.zygote?.leaves.delete(instance);
    if (instance.zygote?.state === 'draining') this.reap(instance.zygote);
  }

  private reap(zygote: SimZygote): void {
    if (zygote.state !== 'draining' || zygote.leaves.size > 0 || zygote.children.size > 0) return;
    zygote.state = 'gone';
    this.release(zygote.mb * zygote.copies.length, true);
    if (this.zygotes.get(zygote.id) === zygote) this.zygotes.delete(zygote.id);
    zygote.parent?.children.delete(zygote);
    if (zygote.parent !== undefined) this.reap(zygote.parent);
  }
}
