import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { runtimeThreads, tuneRuntime } from '../../../src/compose/runtime';

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
