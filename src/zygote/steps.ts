/**
 * Computations that can be laid aside: generators that yield wherever the event loop may have its turn. The result
 * does not depend on how they are run, so that the pure policy is the same in a test, the simulator and the worker.
 */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Runs to the end at once. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/**
 * Runs in slices, between which the event loop goes round: requests that came meanwhile are served first.
 * @param sliceMs a slice ends with the first step that ends after this many ms
 * @param onSlice told how many ms each slice took
 */
export async function finishInSlices<T>(
  steps: Steps<T>,
  sliceMs: number,
  onSlice: (ms: number) => void = () => undefined,
): Promise<T> {
  for (;;) {
    const startMs = performance.now();
    let passedMs = 0;
    do {
      const step = steps.next();
      passedMs = performance.now() - startMs;
      if (step.done === true) {
        onSlice(passedMs);
        return step.value;
      }
    } while (passedMs < sliceMs);
    onSlice(passedMs);
    await new Promise(setImmediate);
  }
}
