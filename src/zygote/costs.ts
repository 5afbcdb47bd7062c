/**
 * What importing packages costs, learnt from two sources: zygotes time each package that they import, and handlers
 * report how long all their imports took. The first is exact and wins; the second is spread over the packages that no
 * zygote has measured yet, a little nearer to the truth with every report (Kaczmarz's method, kept non-negative).
 */
import { UNMEASURED } from './params';
import type { ImportCost, PinKey } from './types';

/** MB per import ms, for packages whose memory nobody measured: the ratio over ReqBench's packages. */
const MB_PER_MS = 0.04;
/** Weight of a new measurement against the remembered one. */
const ALPHA = 0.3;

export interface KnownCost extends ImportCost {
  readonly measured: boolean;
}

export class CostBook {
  private readonly costs = new Map<PinKey, KnownCost>();

  /** Cost of one package; a guess near ReqBench's median when nothing is known. */
  readonly of = (key: PinKey): ImportCost => this.costs.get(key) ?? UNMEASURED;

  /** A zygote imported this package by itself. */
  measured(key: PinKey, ms: number, mb: number): void {
    const old = this.costs.get(key);
    const blend = (before: number, now: number): number => before + ALPHA * (now - before);
    if (old?.measured !== true) this.costs.set(key, { ms, mb, measured: true });
    else this.costs.set(key, { ms: blend(old.ms, ms), mb: blend(old.mb, mb), measured: true });
  }

  /**
   * A handler spent that long on its imports.
   * @param imported the packages that its zygote had not imported for it
   */
  handlerImported(imported: readonly PinKey[], ms: number): void {
    const open = imported.filter((key) => this.costs.get(key)?.measured !== true);
    if (open.length === 0) return;
    const expected = imported.reduce((sum, key) => sum + this.of(key).ms, 0);
    const share = (ms - expected) / open.length;
    for (const key of open) {
      const next = Math.max(0, this.of(key).ms + share);
      this.costs.set(key, { ms: next, mb: next * MB_PER_MS, measured: false });
    }
  }

  /** Keeps only what `wanted` names, so that the book does not grow with every package ever seen. */
  prune(wanted: ReadonlySet<PinKey>): void {
    for (const key of this.costs.keys()) if (!wanted.has(key)) this.costs.delete(key);
  }

  entries(): [PinKey, KnownCost][] {
    return [...this.costs];
  }

  load(entries: Iterable<readonly [PinKey, KnownCost]>): void {
    for (const [key, cost] of entries) this.costs.set(key, cost);
  }
}
