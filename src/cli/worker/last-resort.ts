/**
 * What happens to errors that nobody caught. Each is a fault of the worker: after it nobody knows what state the code
 * that threw has left behind, so the worker does not go on. POLICY: it logs the error with its cause, refuses new
 * requests, lets those that run end, and exits with 1; a supervisor starts it again (configs/systemd). When that takes too
 * long it exits at once, and the pid file that stays has the next start clean up.
 */
import type { Log } from '../../log';
import { EXIT } from '../command';

/** Longest end after such an error, ms. What still runs then is cut off. */
export const FAULT_DRAIN_MS = 5000;
/** A fault may repeat itself while the worker ends; so many are written. */
const MAX_LOGGED = 20;

export interface LastResort {
  /** Resolves with the first error. */
  readonly faulted: Promise<Error>;
  /** The worker is about to end by itself: it is no longer waited for. */
  stop(): void;
}

/** The parts of `process` that this needs. */
export interface FaultSource {
  on(event: 'uncaughtException' | 'unhandledRejection', listener: (thrown: unknown) => void): unknown;
  off(event: 'uncaughtException' | 'unhandledRejection', listener: (thrown: unknown) => void): unknown;
  exit(code: number): void;
}

/** Takes over errors that nobody caught, from now on. */
export function watchFaults(
  log: Pick<Log, 'fatal'>,
  source: FaultSource = process,
  drainMs = FAULT_DRAIN_MS,
): LastResort {
  let resolve: (error: Error) => void = () => undefined;
  const faulted = new Promise<Error>((done) => (resolve = done));
  let seen = 0;
  let timer: NodeJS.Timeout | undefined;
  const take = (origin: 'uncaughtException' | 'unhandledRejection') => (thrown: unknown) => {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    // A log that cannot be written must not throw into this very handler.
    try {
      if (++seen <= MAX_LOGGED)
        log.fatal({ err: error, origin }, 'fault of the worker itself: it stops, to be started again');
    } catch {
      source.exit(EXIT.error);
    }
    timer ??= setTimeout(() => {
      source.exit(EXIT.error);
    }, drainMs).unref();
    resolve(error);
  };
  const listeners = [
    ['uncaughtException', take('uncaughtException')],
    ['unhandledRejection', take('unhandledRejection')],
  ] as const;
  for (const [event, listener] of listeners) source.on(event, listener);
  return {
    faulted,
    stop: () => {
      clearTimeout(timer);
      for (const [event, listener] of listeners) source.off(event, listener);
    },
  };
}
