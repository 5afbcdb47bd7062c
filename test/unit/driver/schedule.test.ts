import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const MODULE = pathToFileURL(resolve(__dirname, '../../support/schedule.mjs')).href;

interface Step {
  name: string;
  ticks: number;
  places?: number;
}

/**
 * Runs steps that last some ticks, in a process of its own: jest itself loads no ES modules.
 * @returns for each tick, the names of the steps that run
 */
function ticks(places: number, steps: Step[]): string[] {
  const script = `import { runSteps } from ${JSON.stringify(MODULE)};
    const [places, steps] = JSON.parse(process.argv[1]);
    const running = new Map();
    const ended = runSteps(steps, places, (step) => new Promise((end) => running.set(step, end))).then(() => true);
    const seen = [];
    while (!(await Promise.race([ended, new Promise((tick) => setImmediate(tick, false))]))) {
      seen.push([...running.keys()].map(({ name }) => name).join(''));
      for (const [step, end] of [...running]) if (--step.ticks === 0) { running.delete(step); end(); }
    }
    console.log(JSON.stringify(seen));`;
  const argv = ['--input-type=module', '-e', script, '--', JSON.stringify([places, steps])];
  return JSON.parse(execFileSync(process.execPath, argv, { encoding: 'utf8' })) as string[];
}

const step = (name: string, length: number, places?: number): Step => ({
  name,
  ticks: length,
  ...(places === undefined ? {} : { places }),
});

test('as many steps run as there are places, and the next step starts when one ends', () => {
  expect(ticks(2, [step('a', 3), step('b', 1), step('c', 1), step('d', 2)])).toEqual(['ab', 'ac', 'ad', 'd']);
});

test('a step that takes two places waits for both, and no later step overtakes the step', () => {
  expect(ticks(3, [step('a', 3), step('b', 1), step('c', 1, 3), step('d', 1)])).toEqual(['ab', 'a', 'a', 'c', 'd']);
  expect(ticks(3, [step('a', 3), step('b', 2, 2), step('c', 1), step('d', 1)])).toEqual(['ab', 'ab', 'acd']);
});

test('a step that takes more places than exist runs alone', () => {
  expect(ticks(1, [step('a', 1), step('b', 1, 2), step('c', 1)])).toEqual(['a', 'b', 'c']);
});

test('a step that throws ends the run', () => {
  const script = `import { runSteps } from ${JSON.stringify(MODULE)};
    await runSteps([1], 1, async () => { throw new Error('thrown'); });`;
  expect(() => execFileSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'pipe' })).toThrow(
    'thrown',
  );
});
