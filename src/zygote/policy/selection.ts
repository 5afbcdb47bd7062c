/**
 * The greedy core of the popularity policy: chooses sets of packages by expected ms saved per MB. Pure; an object holds
 * the state of one computation.
 *
 * The value of a selection is the sum over all demands of rate × (ms saved by the best fitting zygote). This function
 * is monotone and submodular, so the greedy selection by value per cost is within a constant factor of the optimum. A
 * child shares its parent's pages, so its cost falls when an ancestor is chosen, and its ratio rises. All ratios are
 * therefore updated after each choice. A lazy update, which assumes that ratios only fall, would miss the rise.
 */
import { servesKeys } from './match';
import { optionSteps, savedMs, type Chosen, type Option, type Options, type SelectionInput } from './options';
import type { PolicyParams } from './params';
import type { Steps } from './steps';
import type { Demand } from './types';

/** The use of each chosen zygote. */
export type Worth = Map<Chosen, { forksPerSec: number; lossMsPerSec: number }>;

/** Tolerance for rounding errors, in ms per second. */
const NEGLIGIBLE = 1e-9;

export class Selection {
  readonly chosen: Chosen[] = [];
  private readonly params: PolicyParams;
  private readonly demands: readonly Demand[];
  private readonly options: Options;
  /** Saving of the best chosen zygote for each demand, against a fork of the root, in ms. */
  private readonly best: number[];

  private constructor(input: SelectionInput, options: Options) {
    this.params = input.params;
    this.demands = input.demands;
    this.options = options;
    this.best = input.demands.map(() => 0);
    this.take(options.root, undefined);
  }

  /** Makes a selection that contains only the root. */
  static *steps(input: SelectionInput): Steps<Selection> {
    return new Selection(input, yield* optionSteps(input));
  }

  /**
   * Chooses options until no other option fits the budget and is worth its memory.
   * @returns the rest of the budget, in MB
   */
  *grow(leftMb: number): Steps<number> {
    const { stickiness, paybackSec, priceMsPerSecPerMb, maxZygotes } = this.params;
    let left = leftMb;
    while (this.chosen.length < maxZygotes) {
      yield;
      let pick: { option: Option; ratio: number; costMb: number } | undefined;
      for (const option of this.options.byId.values()) {
        if (option.taken !== undefined) continue;
        const { gain } = option;
        if (gain <= NEGLIGIBLE) continue;
        const costMb = this.costMb(option);
        if (costMb > left) continue;
        // POLICY: hysteresis. A live zygote is kept unless another option is clearly better; a new one must pay for its
        // creation.
        if (option.live === undefined && gain * paybackSec < option.ms) continue;
        const ratio = (gain * (option.live === undefined ? 1 : stickiness)) / costMb;
        if (ratio < priceMsPerSecPerMb) continue;
        if (pick === undefined || ratio > pick.ratio) pick = { option, ratio, costMb };
      }
      if (pick === undefined) return left;
      left -= pick.costMb;
      this.takeWithAncestors(pick.option);
    }
    return left;
  }

  /** Removes a choice without children. The caller accounts for its memory. */
  drop(choice: Chosen): void {
    this.chosen.splice(this.chosen.indexOf(choice), 1);
    choice.option.taken = undefined;
    for (const option of this.options.byId.values())
      if (option.parent === choice) option.parent = this.searchParent(option);
    for (const index of choice.option.covers) {
      const demand = this.demands[index];
      if (demand === undefined) continue;
      const left = this.serving(index).map((other) => savedMs(other.option, demand, this.params));
      this.serve(index, demand, Math.max(0, ...left));
    }
  }

  /** Returns the use of each chosen zygote: forks per second, and ms per second that its removal alone would lose. */
  *worth(): Steps<Worth> {
    const worth: Worth = new Map(this.chosen.map((choice) => [choice, { forksPerSec: 0, lossMsPerSec: 0 }]));
    for (const [index, demand] of this.demands.entries()) {
      yield;
      let first: { choice: Chosen; ms: number } | undefined;
      let secondMs = 0;
      for (const choice of this.serving(index)) {
        const ms = savedMs(choice.option, demand, this.params);
        if (first === undefined || ms > first.ms) {
          secondMs = Math.max(0, first?.ms ?? 0);
          first = { choice, ms };
        } else secondMs = Math.max(secondMs, ms);
      }
      const root = this.chosen[0];
      const server = first !== undefined && first.ms > 0 ? first : root && { choice: root, ms: 0 };
      const entry = server && worth.get(server.choice);
      if (entry === undefined || server === undefined) continue;
      entry.forksPerSec += demand.ratePerSec;
      entry.lossMsPerSec += demand.ratePerSec * Math.max(0, server.ms - secondMs);
    }
    return worth;
  }

  /** Returns the saving of the whole selection against forks of the root, in ms per second. */
  totalSaved(): number {
    return this.demands.reduce((sum, demand, index) => sum + demand.ratePerSec * (this.best[index] ?? 0), 0);
  }

  /** Returns the memory that a choice adds to its parent's, in MB. */
  ownMb(choice: Chosen): number {
    if (choice.parent === undefined) return this.params.rootMb;
    return this.params.nodeMb + choice.option.mb - choice.parent.option.mb;
  }

  hasChildren(choice: Chosen): boolean {
    return this.chosen.some((other) => other.parent === choice);
  }

  private serving(index: number): Chosen[] {
    const found: Chosen[] = [];
    for (const { taken } of this.options.coveredBy[index] ?? []) if (taken !== undefined) found.push(taken);
    return found;
  }

  /** Sets the saving of a demand, and updates the gains of all options that can serve the demand. */
  private serve(index: number, demand: Demand, bestMs: number): void {
    const before = this.best[index] ?? 0;
    this.best[index] = bestMs;
    for (const option of this.options.coveredBy[index] ?? []) {
      const saves = savedMs(option, demand, this.params);
      const gains = saves > bestMs ? saves - bestMs : 0;
      const gained = saves > before ? saves - before : 0;
      option.gain += demand.ratePerSec * (gains - gained);
    }
  }

  private costMb(option: Option): number {
    const { nodeMb } = this.params;
    const missing = this.missingAncestors(option);
    const top = missing[0] ?? option;
    const parent = this.parentOf(top);
    return nodeMb * (missing.length + 1) + option.mb - (parent?.option.mb ?? 0);
  }

  /**
   * Returns live ancestors that are not chosen, topmost first. A live zygote keeps its ancestors alive even if they are
   * unwanted.
   */
  private missingAncestors(option: Option): Option[] {
    const missing: Option[] = [];
    let parentId = option.live?.parent;
    while (parentId !== undefined) {
      const above = this.options.byId.get(parentId);
      if (above === undefined || above.taken !== undefined) break;
      missing.unshift(above);
      parentId = above.live?.parent;
    }
    return missing;
  }

  private parentOf(option: Option): Chosen | undefined {
    const alive = option.live?.parent;
    // The parent of a live zygote is fixed; '' is the root.
    if (alive !== undefined)
      return alive === '' ? this.chosen[0] : (this.options.byId.get(alive)?.taken ?? option.parent);
    return option.parent;
  }

  /** Finds the chosen zygote that shares the most MB; the root always qualifies. */
  private searchParent(option: Option): Chosen | undefined {
    let best: Chosen | undefined;
    for (const choice of this.chosen) if (this.isBetterParent(choice, best, option)) best = choice;
    return best;
  }

  private isBetterParent(choice: Chosen, best: Chosen | undefined, option: Option): boolean {
    if (choice.depth >= this.params.maxDepth || choice.option.pins.length >= option.pins.length) return false;
    if (best !== undefined && choice.option.mb <= best.option.mb) return false;
    return servesKeys(choice.option.pins, option.keys);
  }

  private takeWithAncestors(option: Option): void {
    for (const above of this.missingAncestors(option)) this.take(above, this.parentOf(above));
    this.take(option, this.parentOf(option));
  }

  private take(option: Option, parent: Chosen | undefined): void {
    const choice: Chosen = { option, parent, depth: parent === undefined ? 0 : parent.depth + 1 };
    this.chosen.push(choice);
    option.taken = choice;
    for (const other of this.options.byId.values()) {
      if (other.taken === undefined && this.isBetterParent(choice, other.parent, other)) other.parent = choice;
    }
    if (parent === undefined) return;
    for (const index of option.covers) {
      const demand = this.demands[index];
      if (demand === undefined) continue;
      const saved = savedMs(option, demand, this.params);
      if (saved > (this.best[index] ?? 0)) this.serve(index, demand, saved);
    }
  }
}
