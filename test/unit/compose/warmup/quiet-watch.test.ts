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

test('a worker is busy while it serves', () => {
  serving = true;
  expect(watch.isBusy).toBe(true);
  serving = false;
  expect(watch.isBusy).toBe(false);
});

test('after the first request another one may follow within seconds', () => {
  watch.ended();
  expect(rest()).toBe(2000);
});

test('requests at regular intervals are never met by the warm-up', () => {
  for (const intervalMs of [250, 900, 2400]) {
    requests(20, intervalMs);
    expect(rest()).toBeGreaterThan(intervalMs);
  }
});

test('one long interval among shorter ones is remembered', () => {
  requests(20, 250);
  requests(1, 1200);
  requests(3, 250);
  expect(rest()).toBeGreaterThan(1200);
});

test('a short rest follows on dense requests, and no rest is longer than five seconds', () => {
  requests(50, 10);
  expect(rest()).toBe(200);
  requests(5, 60_000);
  expect(rest()).toBe(5000);
});
