import { optionSteps, savedMs, type Options } from '../../../../src/zygote/policy/options';
import { DEFAULT_PARAMS } from '../../../../src/zygote/policy/params';
import { finish } from '../../../../src/zygote/policy/steps';
import type { Demand, LiveZygote, PinKey } from '../../../../src/zygote/policy/types';

const COSTS: Record<PinKey, { ms: number; mb: number }> = { 'a==1': { ms: 100, mb: 10 }, 'b==1': { ms: 50, mb: 5 } };
const DEMANDS: Demand[] = [
  { pins: ['a==1', 'b==1'], ratePerSec: 2 },
  { pins: ['b==1'], ratePerSec: 3, importMs: 20 },
  { pins: [], ratePerSec: 5 },
];
const params = { ...DEFAULT_PARAMS, forkMsPerMb: 1 };

function options(candidates: PinKey[][], live: LiveZygote[] = []): Options {
  const costOf = (key: PinKey) => COSTS[key] ?? { ms: 0, mb: 0 };
  return finish(optionSteps({ demands: DEMANDS, candidates, live, costOf, params }));
}

describe('the options of a selection', () => {
  test('have the cost of all their packages, their demands, and the gain over the root', () => {
    const { byId, coveredBy } = options([['a==1', 'b==1'], ['b==1']]);
    const [both, one] = [...byId.values()];
    expect(both).toMatchObject({ ms: 150, mb: 15, covers: [0], gain: 2 * (150 - 15) });
    // The second demand's own import is shorter than the sum of its packages.
    expect(one).toMatchObject({ ms: 50, mb: 5, covers: [0, 1], gain: 2 * (50 - 5) + 3 * (20 - 5) });
    expect(coveredBy.map((list) => list.map(({ id }) => id))).toEqual([[both?.id, one?.id], [one?.id], []]);
  });

  test('contain each set once, the live zygotes, and the root separately', () => {
    const alive: LiveZygote = { id: 'x', parent: '', pins: ['b==1'], state: 'ready', replicas: 1, spares: 0 };
    const root: LiveZygote = { ...alive, id: '', parent: undefined, pins: [] };
    const { byId, root: bottom } = options([['b==1'], []], [alive, root]);
    expect([...byId.values()].map(({ pins, live }) => [pins, live?.id])).toEqual([[['b==1'], 'x']]);
    expect(bottom).toMatchObject({ pins: [], ms: 0, mb: 0, live: root });
  });

  test('save at most the measured import time of a handler', () => {
    const option = [...options([['a==1']]).byId.values()][0];
    if (option === undefined) throw new Error('no option');
    const demand = { pins: ['a==1'], ratePerSec: 1 };
    expect([savedMs(option, demand, params), savedMs(option, { ...demand, importMs: 30 }, params)]).toEqual([90, 20]);
  });
});
