/** Plays a trace to live workers in turns, and records the latency and the kind of start of each call. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { Invocation, Trace } from '../../src/zygote/simulate/trace';
import { orderOf } from '../harness';
import type { LiveWorker } from '../subjects/live-worker';

export type Start = 'warm' | 'fresh' | 'fork' | 'spare';

export interface LiveCall {
  readonly fn: number;
  /** Time to the end of the answer at the client, ms. */
  readonly ms: number;
  readonly start: Start;
  readonly importMs: number;
  /** Status of /run's answer; 0 without an answer. */
  readonly status: number;
  /** Times of the worker's Server-Timing, ms. */
  readonly phases: Readonly<Record<string, number>>;
}

export interface Life {
  readonly calls: readonly LiveCall[];
  /** Mean MB over the counted calls, by tier. */
  readonly memoryMb: Readonly<Record<string, number>>;
}

/** Calls between two readings of the memory. */
const LOOK_CALLS = 20;
/** Pause between two calls of the trace, ms, so that the clean-up after a call does not delay the next one. */
const SETTLE_MS = 20;

/** Reads the kind of start from the worker's Server-Timing. Pure. */
export function startOf(timing: string): Start {
  const told = /start;desc=(\w+)/.exec(timing)?.[1];
  return told === 'fresh' || told === 'fork' || told === 'spare' ? told : 'warm';
}

/** Memory of each tier in MB. @param metrics text of GET /metrics. Pure. */
export function tiersMb(metrics: string): Record<string, number> {
  const found = metrics.matchAll(/^argyle_memory_tier_bytes\{tier="(\w+)"\} (\S+)$/gm);
  return Object.fromEntries([...found].map(([, tier = '', bytes]) => [tier, Number(bytes) / 2 ** 20]));
}

/** Durations of the worker's Server-Timing by phase, ms. Pure. */
export function phasesOf(timing: string): Record<string, number> {
  const found = timing.matchAll(/(\w+)(?:;desc=[^;,]*)?;dur=([\d.]+)/g);
  return Object.fromEntries([...found].map(([, name = '', ms]) => [name, Number(ms)]));
}

function means(samples: readonly Record<string, number>[]): Record<string, number> {
  const names = new Set(samples.flatMap((sample) => Object.keys(sample)));
  const mean = (name: string): number => samples.reduce((sum, one) => sum + (one[name] ?? 0), 0) / samples.length;
  return Object.fromEntries([...names].map((name) => [name, mean(name)]));
}

export interface PlayOptions {
  /** Number of uncounted calls at the beginning of the trace. */
  readonly warmup: number;
  /** No call begins after this time, ms of Date.now(). */
  readonly untilMs: number;
}

export interface Played {
  readonly lives: Map<string, Life>;
  /** The invocations that were made, with their times. */
  readonly invocations: readonly Invocation[];
}

/**
 * Sends each call of the trace to all workers, one after the other and in a changing order, so that a slow phase of the
 * machine affects all workers alike. Calls do not wait for their time in the trace. No two calls run at once.
 */
export async function play(
  workers: ReadonlyMap<string, LiveWorker>,
  { functions, invocations }: Trace,
  { warmup, untilMs }: PlayOptions,
): Promise<Played> {
  const agent = new Agent({ pipelining: 1 });
  const players = [...workers].map(([mode, worker]) => ({
    mode,
    worker,
    calls: [] as LiveCall[],
    memory: [] as Record<string, number>[],
  }));
  const made: Invocation[] = [];
  const beganMs = performance.now();
  try {
    for (const [index, invocation] of invocations.entries()) {
      if (Date.now() > untilMs) break;
      made.push({ ...invocation, atMs: performance.now() - beganMs });
      const name = functions[invocation.fn]?.name ?? '';
      for (const each of orderOf(index, players.length)) {
        const player = players[each];
        player?.calls.push(await call(agent, `${player.worker.url}/run/${name}`, invocation.fn));
      }
      if (index >= warmup && index % LOOK_CALLS === 0) {
        for (const { worker, memory } of players) memory.push(tiersMb(await worker.metrics()));
      }
      await sleep(SETTLE_MS);
    }
  } finally {
    await agent.close();
  }
  const lives = players.map(({ mode, calls, memory }) => [mode, { calls, memoryMb: means(memory) }] as const);
  return { lives: new Map(lives), invocations: made };
}

async function call(dispatcher: Agent, url: string, fn: number): Promise<LiveCall> {
  const startMs = performance.now();
  const answer = await request(url, { method: 'POST', body: '{}', dispatcher }).catch(() => undefined);
  await answer?.body.text();
  const ms = performance.now() - startMs;
  if (answer === undefined) return { fn, ms, start: 'warm', importMs: 0, status: 0, phases: {} };
  const timing = [answer.headers['server-timing'] ?? ''].flat().join(', ');
  const phases = phasesOf(timing);
  return { fn, ms, start: startOf(timing), importMs: phases.import ?? 0, status: answer.statusCode, phases };
}
