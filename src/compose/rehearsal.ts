/**
 * A worker's first calls are its slowest: V8 runs its code unoptimized, and compiles it while somebody waits. So a
 * worker that has started, and has nothing else to do, makes calls to itself: over HTTP, through real sandboxes of real
 * zygotes, but all of them its own and apart from those that serve. What is counted, learnt, cached and traced is so too,
 * and ends with the rehearsal. Measurements: docs/adr/0006.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Closers } from './closers';
import type { Eagerness } from './runtime';
import { setStage, STAGE_MB, type StageParts } from './stage';

/** It begins a moment after the worker's own zygotes and slots are made, ms. */
const BEGIN_AFTER_MS = 500;
/** POLICY: real requests go first. It looks this often whether they are through, and gives up after so long, ms. */
const LOOK_MS = 50;
const GIVE_UP_MS = 15_000;
/** Each act has a stage of its own: code that has seen one server and one pool only is thrown away at the second. */
const ACTS = 4;
/** After so many calls it rests until instances are frozen and the worker's timers have run, ms. */
const CALLS_AT_A_STRETCH = 100;
const REST_MS = 50;

export interface RehearsalParts extends StageParts {
  /** Whether real requests are being served. */
  isBusy: () => boolean;
  eagerness: Eagerness;
}

/**
 * Begins to rehearse in the background.
 * @returns what ends it early; resolves once nothing of it is left, never rejects
 */
export function startRehearsal(parts: RehearsalParts): () => Promise<void> {
  const stopping = new AbortController();
  const ended = rehearse(parts, stopping.signal);
  return () => {
    stopping.abort();
    return ended;
  };
}

async function rehearse(parts: RehearsalParts, stop: AbortSignal): Promise<void> {
  const { config, log, sandboxes, eagerness } = parts;
  await sleep(BEGIN_AFTER_MS, undefined, { signal: stop }).catch(() => undefined);
  const charge = stop.aborted ? undefined : sandboxes.pool.tryAcquire(STAGE_MB);
  if (charge === undefined) return;
  const startMs = performance.now();
  let calls = 0;
  eagerness.optimizeEagerly(true);
  try {
    for (let act = 0; act < ACTS && !stop.aborted; act++) {
      calls += await play(parts, Math.ceil(config.argyle.rehearsal_calls / ACTS), stop);
    }
  } catch (err) {
    // It serves nobody, so nobody misses it.
    if (!stop.aborted) log.logger.warn({ err }, 'the rehearsal failed');
  } finally {
    eagerness.optimizeEagerly(false);
    charge.release();
  }
  log.logger.info({ calls, ms: Math.round(performance.now() - startMs) }, 'rehearsed');
}

/** One act on a stage of its own. @returns how many calls it made */
async function play(parts: RehearsalParts, calls: number, stop: AbortSignal): Promise<number> {
  const closers = new Closers();
  let made = 0;
  try {
    const call = await setStage(parts, closers, stop);
    const endMs = performance.now() + GIVE_UP_MS;
    while (made < calls && !stop.aborted && performance.now() < endMs) {
      if (parts.isBusy()) {
        await sleep(LOOK_MS);
        continue;
      }
      await call(made++);
      if (made % CALLS_AT_A_STRETCH === 0) await sleep(REST_MS);
    }
  } finally {
    await closers.run();
  }
  return made;
}
