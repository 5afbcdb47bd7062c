import { syntheticPackages } from '../../../support/zygote/synthetic';
import { random } from '../../../../src/zygote/simulate/random';
import { DEFAULT_PARAMS } from '../../../../src/zygote/policy/params';
import { desiredTree, desiredTreeSteps, type PolicyInput } from '../../../../src/zygote/policy/popularity';
import { finish, finishInSlices, type Steps } from '../../../../src/zygote/policy/steps';

function* counting(to: number, ms = 0): Steps<number> {
  for (let i = 0; i < to; i++) {
    const endMs = performance.now() + ms;
    while (performance.now() < endMs);
    yield;
  }
  return to;
}

/** More sets of packages than the policy examines, many of them overlapping: the largest possible work. */
function atTheBound(): PolicyInput {
  const data = syntheticPackages();
  const source = random(11);
  const sets = data.sets.map(({ pins }) => pins);
  const demands = Array.from({ length: 4096 }, (_, rank) => {
    const pins = new Set<string>();
    for (let part = 0; part < 1 + source.int(3); part++)
      for (const key of sets[source.int(sets.length)] ?? []) pins.add(key);
    return { pins: [...pins].sort(), ratePerSec: 10 / (rank + 1) };
  });
  const { costOf, requiresOf } = data;
  return { demands, costOf, requiresOf, budgetMb: 4000, live: [], excluded: () => false, params: DEFAULT_PARAMS };
}

test('a computation has the same result at once and in slices', async () => {
  expect(finish(counting(5))).toBe(5);
  expect(await finishInSlices(counting(5), 0)).toBe(5);
  const input = { ...atTheBound(), demands: atTheBound().demands.slice(0, 300) };
  expect(await finishInSlices(desiredTreeSteps(input), 1)).toEqual(desiredTree(input));
});

test('a slice ends with the first step after its length, and other tasks then have a turn', async () => {
  const slices: number[] = [];
  let turns = 0;
  let running = true;
  const turn = (): void => {
    turns++;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  await finishInSlices(counting(20, 1), 2, (ms) => slices.push(ms));
  running = false;
  expect(slices.length).toBeGreaterThanOrEqual(7);
  expect(turns).toBeGreaterThanOrEqual(slices.length - 2);
});

test('an error in a step is thrown by the whole computation', async () => {
  function* failing(): Steps<never> {
    yield;
    throw new Error('boom');
  }
  expect(() => finish(failing())).toThrow('boom');
  await expect(finishInSlices(failing(), 1)).rejects.toThrow('boom');
});

/** Duration of every step, ms: the minimum of several runs, which other programs hardly affect. */
function stepTimes(make: () => Steps<unknown>, runs: number): number[] {
  const times: number[] = [];
  for (let run = 0; run < runs; run++) {
    const steps = make();
    for (let index = 0, done = false; !done; index++) {
      const startMs = performance.now();
      done = steps.next().done === true;
      times[index] = Math.min(times[index] ?? Infinity, performance.now() - startMs);
    }
  }
  return times;
}

test('the popularity policy at its limits blocks the event loop for at most some ms at a time', () => {
  const input = atTheBound();
  expect(desiredTree(input).zygotes.length).toBeGreaterThan(10);
  const times = stepTimes(() => desiredTreeSteps(input), 8);
  expect(times.length).toBeGreaterThan(1000);
  // The longest step takes 2 ms. A slice of SLICE_MS may end with such a step.
  expect(Math.max(...times)).toBeLessThan(10);
});
