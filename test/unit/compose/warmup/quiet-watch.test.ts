import { QuietWatch } from '../../../../src/compose/warmup/quiet-watch';

let nowMs = 0;
let serving = false;
let watch: QuietWatch;

beforeEach(() => {
  nowMs = 0;
  serving = false;
  watch = new QuietWatch(
    () => serving,
    () => nowMs,
  );
});

/** Ends `count` requests, `intervalMs` apart. */
function requests(count: number, intervalMs: number): void {
  for (let n = 0; n < count; n++) {
    nowMs += intervalMs;
    watch.ended();
  }
}

/** Time for which the worker counts as busy from now on, in ms. */
function rest(): number {
  const beginMs = nowMs;
  while (watch.isBusy) nowMs++;
  const ms = nowMs - beginMs;
  nowMs = beginMs;
  return ms;
}

test('a worker is busy while it serves a request', () => {
  serving = true;
  expect(watch.isBusy).toBe(true);
  serving = false;
  expect(watch.isBusy).toBe(false);
});

test('a worker is busy for some seconds after its first request', () => {
  watch.ended();
  expect(rest()).toBe(2000);
});

test('the warm-up never runs during requests at regular intervals', () => {
  for (const intervalMs of [250, 900, 2400]) {
    requests(20, intervalMs);
    expect(rest()).toBeGreaterThan(intervalMs);
  }
});

test('a long interval is remembered for several shorter ones', () => {
  requests(20, 250);
  requests(1, 1200);
  requests(3, 250);
  expect(rest()).toBeGreaterThan(1200);
});

test('the rest is short after dense requests, and at most five seconds', () => {
  requests(50, 10);
  expect(rest()).toBe(200);
  requests(5, 60_000);
  expect(rest()).toBe(5000);
});
