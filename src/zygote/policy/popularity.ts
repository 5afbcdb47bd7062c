/**
 * The popularity policy: computes zygotes, replicas and spares from demands and costs. Pure.
 * docs/adr/0005-popularity-policy.md gives reasons and measurements.
 *
 * 1. Candidates are the demanded sets, closures of their most expensive packages, and intersections of the heaviest
 *    sets.
 * 2. Zygotes are chosen greedily by expected ms saved per MB, relative to the best chosen zygote (selection.ts).
 * 3. Forks are assigned to the best fitting zygote. A zygote that would spend too much of its time on forks is
 *    replicated.
 * 4. Spares are added by the same measure. Spares replace the least valuable zygotes if they save more.
 *
 * Work, with D demands, K candidates and S chosen zygotes: O(D log D + pairs² + K·D̄ + S·K), where D̄ is the number of
 * demands that a candidate covers. PolicyParams bounds all of them: thousands of sets take tens of ms.
 */
import { candidateSteps, without } from './candidates';
import type { PolicyParams } from './params';
import type { Chosen } from './options';
import { Selection, type Worth } from './selection';
import { finish, type Steps } from './steps';
import type { CostOf, Demand, DesiredTree, DesiredZygote, LiveZygote, PinKey, RequiresOf } from './types';

export interface PolicyInput {
  readonly demands: readonly Demand[];
  readonly costOf: CostOf;
  readonly requiresOf: RequiresOf;
  /** Budget of zygotes, replicas and spares together, in MB. */
  readonly budgetMb: number;
  /** The live zygotes, for hysteresis; empty for a fit from scratch. */
  readonly live: readonly LiveZygote[];
  /** True for a package that must never be in a zygote: it started threads or failed after a fork. */
  readonly excluded: (key: PinKey) => boolean;
  readonly params: PolicyParams;
}

const NOTHING: DesiredTree = { zygotes: [], mb: 0, savedMsPerSec: 0 };

/** Computes the zygotes to hold. The result is empty when the root exceeds the budget. */
export function desiredTree(input: PolicyInput): DesiredTree {
  return finish(desiredTreeSteps(input));
}

/**
 * desiredTree() in steps. The answers of `costOf`, `requiresOf` and `excluded` may change between two steps. The result
 * then mixes both states, and the next look corrects it.
 */
export function* desiredTreeSteps(input: PolicyInput): Steps<DesiredTree> {
  const { params, costOf, budgetMb } = input;
  if (budgetMb < params.rootMb) return NOTHING;
  const demands = yield* eligible(input);
  const limits = { pairs: params.maxPairs, candidates: params.maxCandidates, heavyPerSet: params.heavyPerSet };
  const candidates = yield* candidateSteps(demands, costOf, input.requiresOf, limits);
  const live = input.live.filter((zygote) => !zygote.pins.some(input.excluded));
  const selection = yield* Selection.steps({ demands, candidates, live, costOf, params });
  let leftMb = yield* selection.grow(budgetMb - params.rootMb);

  let worth = yield* selection.worth();
  let extras = addExtras(selection, worth, leftMb, params);
  // POLICY: spares and zygotes compete for the same memory. The least valuable zygotes give way to spares.
  for (;;) {
    yield;
    const weakest = weakestLeaf(selection, worth);
    if (weakest === undefined || extras.unaffordedRatio <= weakest.ratio * params.stickiness) break;
    selection.drop(weakest.choice);
    leftMb += weakest.mb;
    worth = yield* selection.worth();
    extras = addExtras(selection, worth, leftMb, params);
  }
  return assemble(selection, worth, extras, demands, params);
}

/** Returns the heaviest demands, without excluded packages and packages that need them. */
function* eligible(input: PolicyInput): Steps<Demand[]> {
  const weighed: { demand: Demand; weight: number }[] = [];
  for (const demand of input.demands) {
    yield;
    const ms = demand.pins.reduce((sum, key) => sum + input.costOf(key).ms, 1);
    if (demand.ratePerSec > 0) weighed.push({ demand, weight: demand.ratePerSec * ms });
  }
  weighed.sort((a, b) => b.weight - a.weight);
  const demands: Demand[] = [];
  for (const { demand } of weighed.slice(0, input.params.maxDemands)) {
    yield;
    demands.push({ ...demand, pins: without(demand.pins, input.excluded, input.requiresOf) });
  }
  return demands;
}

interface Extras {
  readonly replicas: Map<Chosen, number>;
  readonly spares: Map<Chosen, number>;
  readonly mb: number;
  /**
   * Saving of the best spare that does not fit the budget, in ms per second and MB; 0 when all worthwhile spares fit.
   */
  readonly unaffordedRatio: number;
}

function forkMs(choice: Chosen, params: PolicyParams): number {
  return params.forkMs + params.forkMsPerMb * choice.option.mb;
}

function addExtras(selection: Selection, worth: Worth, leftMb: number, params: PolicyParams): Extras {
  const replicas = new Map<Chosen, number>();
  const spares = new Map<Chosen, number>();
  let left = leftMb;
  const offers: { choice: Chosen; nth: number; ratio: number }[] = [];
  for (const [choice, { forksPerSec }] of worth) {
    const busy = (forksPerSec * forkMs(choice, params)) / 1000;
    const wanted = Math.min(params.maxReplicas, Math.max(1, Math.ceil(busy / params.targetUtilization)));
    const affordable = 1 + Math.max(0, Math.floor(left / selection.ownMb(choice)));
    const count = Math.min(wanted, affordable);
    replicas.set(choice, count);
    left -= (count - 1) * selection.ownMb(choice);
    // The n-th spare is used when n-1 others are taken and not yet replaced: the tail of a Poisson distribution.
    const expected = (forksPerSec * params.refillMs) / 1000;
    let term = Math.exp(-expected);
    let tail = 1;
    for (let nth = 1; nth <= params.maxSparesPerZygote; nth++) {
      const ratio = (forksPerSec * tail * (forkMs(choice, params) - params.spareMs)) / params.spareMb;
      if (ratio > Math.max(params.priceMsPerSecPerMb, params.leastSpareRatio)) offers.push({ choice, nth, ratio });
      tail -= term;
      term *= expected / nth;
    }
  }
  offers.sort((a, b) => b.ratio - a.ratio || a.nth - b.nth);
  let unaffordedRatio = 0;
  for (const { choice, nth, ratio } of offers) {
    if (left < params.spareMb) {
      unaffordedRatio = ratio;
      break;
    }
    if (ratio <= 0) break;
    spares.set(choice, nth);
    left -= params.spareMb;
  }
  return { replicas, spares, mb: leftMb - left, unaffordedRatio };
}

function weakestLeaf(selection: Selection, worth: Worth): { choice: Chosen; ratio: number; mb: number } | undefined {
  let weakest: { choice: Chosen; ratio: number; mb: number } | undefined;
  for (const [choice, { lossMsPerSec }] of worth) {
    if (choice.parent === undefined || selection.hasChildren(choice)) continue;
    const mb = selection.ownMb(choice);
    const ratio = lossMsPerSec / mb;
    if (weakest === undefined || ratio < weakest.ratio) weakest = { choice, ratio, mb };
  }
  return weakest;
}

function assemble(
  selection: Selection,
  worth: Worth,
  extras: Extras,
  demands: readonly Demand[],
  params: PolicyParams,
): DesiredTree {
  const rate = demands.reduce((sum, demand) => sum + demand.ratePerSec, 0);
  let mb = extras.mb;
  let savedMsPerSec = rate * Math.max(0, params.freshMs - params.forkMs);
  const zygotes = selection.chosen.map((choice): DesiredZygote => {
    const { forksPerSec = 0, lossMsPerSec = 0 } = worth.get(choice) ?? {};
    mb += selection.ownMb(choice);
    return {
      id: choice.option.id,
      parent: choice.parent?.option.id,
      pins: choice.option.pins,
      replicas: extras.replicas.get(choice) ?? 1,
      spares: extras.spares.get(choice) ?? 0,
      gainMsPerSec: choice.parent === undefined ? rate * Math.max(0, params.freshMs - params.forkMs) : lossMsPerSec,
      mb: selection.ownMb(choice),
      forksPerSec,
    };
  });
  savedMsPerSec += selection.totalSaved();
  return { zygotes, mb, savedMsPerSec };
}
