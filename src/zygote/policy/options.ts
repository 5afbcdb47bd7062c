/** The sets of packages that may become zygotes, and the demands that each can serve. Pure. */
import { setId } from './candidates';
import { servesKeys } from './match';
import type { PolicyParams } from './params';
import type { Steps } from './steps';
import type { CostOf, Demand, LiveZygote, PinKey } from './types';

export interface Option {
  readonly id: string;
  readonly pins: readonly PinKey[];
  /** Import time in ms and memory in MB of all pins together. */
  readonly ms: number;
  readonly mb: number;
  readonly keys: ReadonlySet<PinKey>;
  /** Indexes of the demands that this set can serve. */
  readonly covers: readonly number[];
  /** The live zygote with this set; the parent of a live zygote is fixed. */
  readonly live: LiveZygote | undefined;
  /** Set once the option is chosen. */
  taken: Chosen | undefined;
  /** Additional saving over the chosen zygotes, in ms per second. */
  gain: number;
  /** The chosen zygote that would become this option's parent. */
  parent: Chosen | undefined;
}

export interface Chosen {
  readonly option: Option;
  readonly parent: Chosen | undefined;
  readonly depth: number;
}

export interface SelectionInput {
  readonly demands: readonly Demand[];
  readonly candidates: readonly (readonly PinKey[])[];
  readonly live: readonly LiveZygote[];
  readonly costOf: CostOf;
  readonly params: PolicyParams;
}

export interface Options {
  readonly byId: ReadonlyMap<string, Option>;
  /** The options that can serve each demand. */
  readonly coveredBy: readonly (readonly Option[])[];
  /** The option without packages. It is not in `byId`. */
  readonly root: Option;
}

/** Saving of one cold start that forks this option instead of the root, in ms. */
export function savedMs(option: Option, { importMs }: Demand, { forkMsPerMb }: PolicyParams): number {
  const ms = importMs !== undefined && importMs < option.ms ? importMs : option.ms;
  return ms - forkMsPerMb * option.mb;
}

/** Makes an option of each candidate and of each live zygote, with its gain over the root alone. */
export function* optionSteps({ demands, candidates, live, costOf, params }: SelectionInput): Steps<Options> {
  const wanted = demands.map((demand) => new Set(demand.pins));
  yield;
  const postings = new Map<PinKey, number[]>();
  for (const [index, demand] of demands.entries()) {
    for (const key of demand.pins) {
      const list = postings.get(key);
      if (list === undefined) postings.set(key, [index]);
      else list.push(index);
    }
    yield;
  }
  const byId = new Map<string, Option>();
  const coveredBy: Option[][] = demands.map(() => []);
  const alive = new Map(live.map((zygote) => [setId(zygote.pins), zygote]));
  for (const pins of [...candidates, ...live.map((zygote) => zygote.pins)]) {
    yield;
    const id = setId(pins);
    if (id === '' || byId.has(id)) continue;
    const rarest = pins
      .map((key) => postings.get(key) ?? [])
      .reduce((least, list) => (list.length < least.length ? list : least));
    const covers = rarest.filter((index) => servesKeys(pins, wanted[index] ?? new Set()));
    const option = makeOption(pins, covers, alive.get(id), costOf);
    byId.set(id, option);
    for (const index of covers) {
      coveredBy[index]?.push(option);
      const demand = demands[index];
      if (demand !== undefined) option.gain += demand.ratePerSec * Math.max(0, savedMs(option, demand, params));
    }
  }
  return { byId, coveredBy, root: makeOption([], [], alive.get(''), costOf) };
}

function makeOption(
  pins: readonly PinKey[],
  covers: readonly number[],
  live: LiveZygote | undefined,
  costOf: CostOf,
): Option {
  let ms = 0;
  let mb = 0;
  for (const key of pins) {
    const cost = costOf(key);
    ms += cost.ms;
    mb += cost.mb;
  }
  const none = { taken: undefined, gain: 0, parent: undefined };
  return { id: setId(pins), pins, keys: new Set(pins), ms, mb, covers, live, ...none };
}
