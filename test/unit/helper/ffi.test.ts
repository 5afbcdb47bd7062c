import { execFileSync } from 'node:child_process';
import { loadArgyle } from '../../../src/helper/ffi';

/** The scheduler slice of a program that is started here, ns; undefined where the kernel does not report it. */
function sliceOfChild(): number | undefined {
  const text = execFileSync('cat', ['/proc/self/sched'], { encoding: 'utf8' });
  const slice = /^se\.slice\s*:\s*(\d+)/m.exec(text)?.[1];
  return slice === undefined ? undefined : Number(slice);
}

test("setSchedSlice() applies to this thread's later children", () => {
  const argyle = loadArgyle();
  const before = sliceOfChild();
  expect(argyle.setSchedSlice(100)).toBe(0);
  // Only Linux 6.12 and later have slices per thread, and report them.
  if (before !== undefined) expect(sliceOfChild()).toBe(100_000);
  expect(argyle.setSchedSlice(3000)).toBe(0);
  if (before !== undefined) expect(sliceOfChild()).toBe(3_000_000);
});
