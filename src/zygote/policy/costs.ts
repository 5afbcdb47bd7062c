/**
 * The import costs of packages, learnt from two sources. A zygote measures each package that it imports; this
 * measurement is exact and takes precedence. Handlers report the time of all their imports together. The difference to
 * the estimate is spread over the packages that no zygote has measured; the estimates improve with every report
 * (Kaczmarz's method, kept non-negative).
 */
import { UNMEASURED } from './params';
import type { ImportCost, PinKey } from './types';

/** Memory per import time in MB/ms, for packages without a measurement: the ratio over ReqBench's packages. */
const MB_PER_MS = 0.04;
/** Weight of a new measurement against the stored one. */
const ALPHA = 0.3;

export interface KnownCost extends ImportCost {
  readonly measured: boolean;
}

export class CostBook {
  private readonly costs = new Map<PinKey, KnownCost>();

  /** Cost of one package; a value near ReqBench's median when unknown. */
  readonly of = (key: PinKey): ImportCost => this.costs.get(key) ?? UNMEASURED;

  /** Whether the cost of a package is known. */
  isKnown(key: PinKey): boolean {
    return this.costs.has(key);
  }

  /** Records a zygote's measurement of one package. */
  measured(key: PinKey, ms: number, mb: number): void {
    const old = this.costs.get(key);
    const blend = (before: number, now: number): number => before + ALPHA * (now - before);
    if (old?.measured !== true) this.costs.set(key, { ms, mb, measured: true });
    else this.costs.set(key, { ms: blend(old.ms, ms), mb: blend(old.mb, mb), measured: true });
  }

  /**
   * Records a handler's total import time.
   * @param imported packages that the handler's zygote had not imported
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

  /** Keeps only the costs of `wanted`; otherwise the book would grow with every package. */
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
