import { setTimeout as sleep } from 'node:timers/promises';
import { PerformanceObserver, constants } from 'node:perf_hooks';
import { IdleGc } from '../../../../src/compose/warmup/idle-gc';
import { until } from '../../../support/until';

/** Longer than the collector's delay, in ms. */
const IDLE_MS = 30;

function requests(collector: IdleGc, count: number): void {
  for (let i = 0; i < count; i++) collector.requestEnded();
}

/** A collector whose collections are counted. */
function counting(isBusy: () => boolean): { collector: IdleGc; collections: () => number } {
  let collections = 0;
  const collector = new IdleGc(isBusy, () => collections++);
  return { collector, collections: () => collections };
}

test('collects after some requests and a pause, and not before', async () => {
  const { collector, collections } = counting(() => false);
  requests(collector, 7);
  await sleep(IDLE_MS);
  expect(collections()).toBe(0);
  requests(collector, 1);
  expect(collections()).toBe(0);
  await sleep(IDLE_MS);
  expect(collections()).toBe(1);
  requests(collector, 7);
  await sleep(IDLE_MS);
  expect(collections()).toBe(1);
});

test('does not collect in a busy worker, and collects afterwards', async () => {
  let busy = true;
  const { collector, collections } = counting(() => busy);
  requests(collector, 20);
  await sleep(IDLE_MS);
  expect(collections()).toBe(0);
  busy = false;
  requests(collector, 1);
  await sleep(IDLE_MS);
  expect(collections()).toBe(1);
});

test('does nothing after stop()', async () => {
  const { collector, collections } = counting(() => false);
  requests(collector, 8);
  collector.stop();
  await sleep(IDLE_MS);
  expect(collections()).toBe(0);
});

test("runs V8's own collection of young garbage", async () => {
  const kinds: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) kinds.push((entry as unknown as { detail: { kind: number } }).detail.kind);
  });
  observer.observe({ entryTypes: ['gc'] });
  requests(new IdleGc(() => false), 8);
  await until('a collection', () => kinds.includes(constants.NODE_PERFORMANCE_GC_MINOR), 5000);
  observer.disconnect();
});
