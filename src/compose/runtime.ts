/** How Node's own runtime is set up for a worker. Measurements: docs/adr/0006. */
import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { setFlagsFromString } from 'node:v8';

/**
 * Bytes of bytecode that a function runs before V8 optimizes it. Its default, 66 KB, leaves a worker with unoptimized
 * code for its first thousands of requests; this one for its first hundreds.
 */
const INTERRUPT_BUDGET = 8000;
/** The same while a worker rehearses, to have done with it sooner. */
const REHEARSAL_BUDGET = 1000;
/**
 * Nice value of V8's threads, a tenth of the main thread's share where they compete: a compilation takes up to 8 ms,
 * which requests and sandboxes otherwise wait for. Not the lowest, because the main thread waits for them when young
 * garbage is collected.
 */
const BACKGROUND_NICE = 10;

/**
 * The threads that this process has beside its main one. Called first of all these are V8's: those that Node uses for
 * files come with their first use.
 */
export function runtimeThreads(): number[] {
  try {
    return readdirSync('/proc/self/task')
      .map(Number)
      .filter((tid) => tid !== process.pid);
  } catch {
    return []; // no Linux: short commands work there too
  }
}

/** Has V8 optimize code after a few runs, or again after the usual number of them. */
export function optimizeEagerly(eagerly: boolean): void {
  setFlagsFromString(`--interrupt-budget=${eagerly ? REHEARSAL_BUDGET : INTERRUPT_BUDGET}`);
}

/** Has V8 optimize sooner, and do so behind everything else. @param threads V8's own */
export function tuneRuntime(threads: readonly number[]): void {
  optimizeEagerly(false);
  for (const tid of threads) {
    try {
      setPriority(tid, Math.max(getPriority(tid), BACKGROUND_NICE));
    } catch {
      // It has ended.
    }
  }
}
