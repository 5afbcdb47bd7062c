/**
 * Interruptible computations: generators that yield where the event loop may run. The result does not depend on the
 * runner, so tests, the simulator and the worker run the same pure policy.
 */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Runs all steps without interruption. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/**
 * Runs the steps in slices. The event loop runs between two slices and serves waiting requests.
 * @param sliceMs a slice ends with the first step that ends after this time, in ms
 * @param onSlice called with the duration of each slice, in ms
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
