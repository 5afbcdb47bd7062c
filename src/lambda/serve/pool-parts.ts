/** The parts of an instance pool, its counts, and its errors. */
import { ArgyleError } from '../../errors';
import type { Stats } from '../../metrics';
import type { Sandbox, SandboxProvider } from '../../sandbox/types';
import type { LambdaLog } from '../ports';
import type { LambdaSettings } from '../settings';
import type { PauseTurns } from './pause-turns';
import type { StartGate } from './start/start-gate';

export interface PoolDeps {
  provider: SandboxProvider;
  settings: LambdaSettings;
  stats: Stats;
  log: LambdaLog;
  now: () => number;
  gate: StartGate;
  pauses: PauseTurns;
  /** Whether this memory, in MB, is available without evicting kept sandboxes; absent without a memory pool. */
  hasRoom?: ((mb: number) => boolean) | undefined;
  /** Called for every sandbox that was made, for metrics. */
  onStarted: (sandbox: Sandbox, ms: number, name: string) => void;
}

export interface PoolCounts {
  queued: number;
  busy: number;
  idle: number;
  paused: number;
  starting: number;
}

/** The error for a call that still runs when its pool closes. */
export function cutOff(cause: unknown): ArgyleError {
  const message = 'the worker stops and has cut off this call, which did not end within argyle.drain_sec';
  return new ArgyleError('CUT_OFF', message, { cause });
}

export function shuttingDown(): ArgyleError {
  return new ArgyleError('SHUTTING_DOWN', 'the worker is shutting down');
}

/** Longest value of Retry-After, in s. */
const MOST_RETRY_SEC = 60;

/**
 * The error for a request when too many requests wait for an instance.
 * @param busy number of instances that serve requests
 * @param serviceMs average time of a request, in ms; undefined when unknown
 * @returns an error with the time in which half of the queue is expected to be served
 */
export function queueFull(queued: number, busy: number, serviceMs: number | undefined): ArgyleError {
  const halfSec = ((queued / 2) * (serviceMs ?? 0)) / Math.max(1, busy) / 1000;
  const retryAfterSec = Math.min(MOST_RETRY_SEC, Math.max(1, Math.ceil(halfSec)));
  return new ArgyleError('INSTANCE_QUEUE_FULL', 'lambda instance queue is full', { retryAfterSec });
}
