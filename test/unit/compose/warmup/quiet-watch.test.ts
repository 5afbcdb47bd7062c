import { QuietWatch } from '../../../../src/compose/warmup/quiet-watch';

test('a worker is busy while it serves, and for a moment after each request', () => {
  let nowMs = 0;
  let serving = true;
  const watch = new QuietWatch(
    () => serving,
    () => nowMs,
  );
  expect(watch.isBusy).toBe(true);
  serving = false;
  expect(watch.isBusy).toBe(false);
  watch.ended();
  nowMs = 199;
  expect(watch.isBusy).toBe(true);
  nowMs = 200;
  expect(watch.isBusy).toBe(false);
});
