/**
 * Warm-up of a started worker. V8 runs new code unoptimized and compiles it while requests wait, so the first calls of
 * a worker are its slowest. An idle worker therefore calls itself over HTTP, through real sandboxes of real zygotes.
 * The warm-up environment has its own server, statistics, caches, code and zygote. They are discarded at the end of the
 * warm-up. README.md of this folder has the measurements.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Closers } from '../closers';
import { ENVIRONMENT_MB, type EnvironmentParts } from './environment';
import { collectAll } from './idle-gc';
import type { InterruptBudget } from './v8';

/** Delay after the start of the worker, in ms. The worker makes its own zygotes and slots during this delay. */
const START_DELAY_MS = 500;
/** POLICY: real requests have priority. Poll interval while real requests run, and time limit of the warm-up, in ms. */
const POLL_MS = 50;
const TIME_LIMIT_MS = 60_000;
/**
 * Calls per batch, and rest after each batch, in ms. During the rest, instances are frozen and the worker's timers run.
 */
const BATCH_CALLS = 100;
const REST_MS = 50;
/** The intake threads of the warm-up (lambda/code/intake) end within this time, in ms. */
const SETTLE_MS = 11_000;
/** After a collection, V8 returns free pages in the background within this time, in ms. */
const RELEASE_MS = 1000;

export interface WarmUpParts extends EnvironmentParts {
  /** Makes an environment. The result makes the nth call. `stop` ends a running call. */
  makeEnvironment: (
    parts: EnvironmentParts,
    closers: Closers,
    stop: AbortSignal,
  ) => Promise<(n: number) => Promise<void>>;
  /** Whether real requests run, or another one may come soon (quiet-watch.ts). */
  isBusy: () => boolean;
  budget: InterruptBudget;
}

/**
 * Starts the warm-up in the background.
 * @returns a function that ends the warm-up early. The function's promise resolves when the environment is removed. It
 *   never rejects.
 */
export function startWarmUp(parts: WarmUpParts): () => Promise<void> {
  const stopping = new AbortController();
  const ended = warmUp(parts, stopping.signal);
  return () => {
    stopping.abort();
    return ended;
  };
}

async function warmUp(parts: WarmUpParts, stop: AbortSignal): Promise<void> {
  const { config, log, sandboxes, budget } = parts;
  await sleep(START_DELAY_MS, undefined, { signal: stop }).catch(() => undefined);
  const charge = stop.aborted ? undefined : sandboxes.pool.tryAcquire(ENVIRONMENT_MB);
  if (charge === undefined) return;
  const startMs = performance.now();
  let calls = 0;
  try {
    calls = await makeCalls(parts, config.argyle.warmup_calls, stop);
  } catch (err) {
    // The worker also serves without a warm-up.
    if (!stop.aborted) log.logger.warn({ err }, 'the warm-up failed');
  } finally {
    budget.setEager(false);
    charge.release();
  }
  log.logger.info({ calls, ms: Math.round(performance.now() - startMs) }, 'warm-up done');
  await shrinkHeap(parts, stop);
}

/**
 * Frees the memory of the warm-up when the worker is idle. Otherwise V8 keeps this garbage until the heap has doubled.
 */
async function shrinkHeap({ isBusy, sandboxes }: WarmUpParts, stop: AbortSignal): Promise<void> {
  const wait = (ms: number): Promise<void> => sleep(ms, undefined, { signal: stop }).catch(() => undefined);
  await wait(SETTLE_MS);
  while (isBusy() && !stop.aborted) await wait(POLL_MS);
  if (stop.aborted) return;
  collectAll();
  await wait(RELEASE_MS);
  sandboxes.trimHeap();
}

/** Makes the calls in an environment of their own. @returns the number of calls made */
async function makeCalls(parts: WarmUpParts, calls: number, stop: AbortSignal): Promise<number> {
  const closers = new Closers();
  let made = 0;
  const endMs = performance.now() + TIME_LIMIT_MS;
  // The warm-up gives its memory back as soon as a real request waits for memory.
  const goesOn = (): boolean => !stop.aborted && performance.now() < endMs && parts.sandboxes.pool.waiting === 0;
  const quiet = async (): Promise<void> => {
    if (parts.isBusy()) parts.budget.setEager(false);
    while (parts.isBusy() && goesOn()) await sleep(POLL_MS);
    parts.budget.setEager(true);
  };
  try {
    await quiet();
    if (!goesOn()) return made;
    const call = await parts.makeEnvironment(parts, closers, stop);
    while (made < calls) {
      if (parts.isBusy()) await quiet();
      if (!goesOn()) break;
      await call(made++);
      if (made % BATCH_CALLS === 0) await sleep(REST_MS);
    }
  } finally {
    await closers.run();
  }
  return made;
}
