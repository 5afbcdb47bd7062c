/**
 * Generates long invocation traces: functions with real requirement sets, popularity that follows Zipf's law and
 * changes over time. Pure.
 */
import { nameOfKey } from '../policy/match';
import type { PinKey } from '../policy/types';
import { random, weighted, zipfWeights, type Random } from './random';
import type { PackageData } from './reqbench';

export interface TraceOptions {
  readonly functions: number;
  readonly invocations: number;
  /** Zipf exponent of the functions' popularity; 0 means equal popularity. */
  readonly zipf: number;
  readonly seed: number;
  /** Mean invocations per second over all functions. */
  readonly ratePerSec: number;
  /** Share of the functions that swap ranks of popularity, spread over the whole trace; 0 means stationary. */
  readonly drift: number;
  /** Mean number of top-level packages per function. */
  readonly packagesPerFunction: number;
}

export const DEFAULT_TRACE: TraceOptions = {
  functions: 500,
  invocations: 50_000,
  zipf: 1,
  seed: 1,
  ratePerSec: 10,
  drift: 0,
  packagesPerFunction: 2,
};

export interface TracedFunction {
  readonly name: string;
  /** Sorted keys. */
  readonly pins: readonly PinKey[];
  /** Median duration of the handler, in ms. */
  readonly execMs: number;
}

export interface Invocation {
  readonly atMs: number;
  /** Index into the trace's functions. */
  readonly fn: number;
  readonly execMs: number;
}

export interface Trace {
  readonly functions: readonly TracedFunction[];
  readonly invocations: readonly Invocation[];
}

/** Makes a trace. Equal options and data give equal traces. */
export function makeTrace(data: PackageData, options: TraceOptions): Trace {
  const source = random(options.seed);
  const functions = drawFunctions(data, options, source);
  const byRank = zipfWeights(functions.length, options.zipf);
  const drawRank = weighted(byRank, source);
  const ranks = functions.map((_, index) => index);
  const swaps = Math.round(options.drift * functions.length);
  const invocations: Invocation[] = [];
  let atMs = 0;
  let swapped = 0;
  for (let count = 0; count < options.invocations; count++) {
    for (; swapped < (swaps * count) / options.invocations; swapped++) swapPlaces(ranks, drawRank(), source);
    atMs += source.exponential(1000 / options.ratePerSec);
    const fn = ranks[drawRank()] ?? 0;
    invocations.push({ atMs, fn, execMs: source.logNormal(functions[fn]?.execMs ?? 1, 0.5) });
  }
  return { functions, invocations };
}

/** Swaps the rank of a popular function (drawn by popularity) with that of a random function. */
function swapPlaces(ranks: number[], rank: number, source: Random): void {
  const other = source.int(ranks.length);
  const [a = 0, b = 0] = [ranks[rank], ranks[other]];
  ranks[rank] = b;
  ranks[other] = a;
}

/**
 * Unites closed sets drawn by their real counts. A set with another version of an already included package is skipped.
 */
function drawFunctions(data: PackageData, options: TraceOptions, source: Random): TracedFunction[] {
  const drawSet = weighted(
    data.sets.map((set) => set.count),
    source,
  );
  return Array.from({ length: options.functions }, (_, index) => {
    const byName = new Map<string, PinKey>();
    do {
      const pins = data.sets[drawSet()]?.pins ?? [];
      if (pins.every((key) => (byName.get(nameOfKey(key)) ?? key) === key)) {
        for (const key of pins) byName.set(nameOfKey(key), key);
      }
    } while (source.next() > 1 / options.packagesPerFunction);
    return { name: `f${index}`, pins: [...byName.values()].sort(), execMs: source.logNormal(20, 1) };
  });
}
