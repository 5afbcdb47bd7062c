import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { Eagerness, knownOptions, optionNames, runtimeThreads, tuneRuntime } from '../../../src/compose/runtime';

/** Nice value of a thread: field 19 of its stat, counted behind the name, which may hold blanks. */
function niceOf(tid: number): number {
  const stat = readFileSync(`/proc/self/task/${tid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
}

test("V8's threads give way to the main thread, which keeps its priority", () => {
  const threads = runtimeThreads();
  const before = getPriority(process.pid);
  expect(threads.length).toBeGreaterThan(0);
  expect(threads).not.toContain(process.pid);
  tuneRuntime(threads);
  for (const tid of threads) expect(niceOf(tid)).toBe(Math.max(before, 10));
  expect(getPriority(process.pid)).toBe(before);
});

test('a thread that has ended meanwhile is passed over', () => {
  expect(() => {
    tuneRuntime([2 ** 22 + 1]);
  }).not.toThrow();
});

const LISTED = `Options:
  --interrupt-budget (budget for the profiler counter)
        type: int  default: --interrupt-budget=67584
  --maglev (enable --turbofan too)
        type: bool  default: --no-maglev
`;

test('names of options are read from what Node lists', () => {
  expect([...optionNames(LISTED)]).toEqual(['interrupt-budget', 'maglev']);
});

test('this Node lists options; one that is not there lists none', async () => {
  expect((await knownOptions()).has('max-semi-space-size')).toBe(true);
  expect((await knownOptions('/nonexistent/node')).size).toBe(0);
});

test.each([
  ['knows', 'interrupt-budget', ['--interrupt-budget=1000', '--interrupt-budget=8000'], []],
  ['lacks', 'maglev', [], ['interrupt-budget']],
])('only an option that a Node knows is set: it %s it', (_how, known, flags, missing) => {
  const set: string[] = [];
  const eagerness = new Eagerness(new Set([known]), (flag) => set.push(flag));
  eagerness.optimizeEagerly(true);
  eagerness.optimizeEagerly(false);
  expect([set, eagerness.missing]).toEqual([flags, missing]);
});
