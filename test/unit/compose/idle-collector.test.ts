import { setTimeout as sleep } from 'node:timers/promises';
import { PerformanceObserver, constants } from 'node:perf_hooks';
import { IdleCollector } from '../../../src/compose/idle-collector';
import { until } from '../../support/until';

/** Longer than a collector waits. */
const IDLE_MS = 30;

function requests(collector: IdleCollector, count: number): void {
  for (let i = 0; i < count; i++) collector.requestEnded();
}

test('collects once nothing has been asked for a moment, after some requests and not before', async () => {
  let collections = 0;
  const collector = new IdleCollector(
    () => false,
    () => collections++,
  );
  requests(collector, 7);
  await sleep(IDLE_MS);
  expect(collections).toBe(0);
  requests(collector, 1);
  expect(collections).toBe(0);
  await sleep(IDLE_MS);
  expect(collections).toBe(1);
  requests(collector, 7);
  await sleep(IDLE_MS);
  expect(collections).toBe(1);
});

test('leaves a busy worker alone, and makes up for it', async () => {
  let collections = 0;
  let busy = true;
  const collector = new IdleCollector(
    () => busy,
    () => collections++,
  );
  requests(collector, 20);
  await sleep(IDLE_MS);
  expect(collections).toBe(0);
  busy = false;
  requests(collector, 1);
  await sleep(IDLE_MS);
  expect(collections).toBe(1);
});

test('does nothing after its stop', async () => {
  let collections = 0;
  const collector = new IdleCollector(
    () => false,
    () => collections++,
  );
  requests(collector, 8);
  collector.stop();
  await sleep(IDLE_MS);
  expect(collections).toBe(0);
});

test("is V8's own collection of young garbage", async () => {
  const kinds: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) kinds.push((entry as unknown as { detail: { kind: number } }).detail.kind);
  });
  observer.observe({ entryTypes: ['gc'] });
  requests(new IdleCollector(() => false), 8);
  await until('a collection', () => kinds.includes(constants.NODE_PERFORMANCE_GC_MINOR), 5000);
  observer.disconnect();
});
