/** Runs steps of the test driver at the same time. */

/**
 * Starts the steps in their order, each as soon as the places that it takes are free. No step overtakes an earlier one.
 * A step takes one place, or its `places`, and at most all places.
 * @template {{ places?: number }} Step
 * @param {readonly Step[]} steps
 * @param {number} places steps of one place that run at the same time
 * @param {(step: Step) => Promise<void>} run
 * @returns {Promise<void>} resolves when all steps have ended
 */
export async function runSteps(steps, places, run) {
  const waiting = [...steps];
  const running = new Set();
  let free = places;
  while (waiting.length > 0 || running.size > 0) {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      const taken = Math.min(next.places ?? 1, places);
      if (taken > free) break;
      waiting.shift();
      free -= taken;
      const ends = run(next).finally(() => {
        free += taken;
        running.delete(ends);
      });
      running.add(ends);
    }
    await Promise.race(running);
  }
}
