/**
 * Handles uncaught errors. Each is a fault of the worker. The state of the code that threw is unknown, so the worker
 * must end.
 *
 * POLICY: the worker logs the error with its cause, refuses new requests, drains running ones, and exits with 1. A
 * supervisor restarts it (configs/systemd). If the drain takes too long, the worker exits at once. The pid file then
 * stays, so that the next start cleans up.
 */
import type { Log } from '../../../log';
import { EXIT } from '../../command';

/** Time limit of the drain after an uncaught error, ms. Remaining calls are cut off. */
export const FAULT_DRAIN_MS = 5000;
/** Maximum number of errors that are logged. A fault may repeat during the drain. */
const MAX_LOGGED = 20;

export interface LastResort {
  /** Resolves with the first error. */
  readonly faulted: Promise<Error>;
  /** Removes the handlers and the time limit. The worker is about to end by itself. */
  stop(): void;
}

/** The parts of `process` that this module uses. */
export interface FaultSource {
  on(event: 'uncaughtException' | 'unhandledRejection', listener: (thrown: unknown) => void): unknown;
  off(event: 'uncaughtException' | 'unhandledRejection', listener: (thrown: unknown) => void): unknown;
  exit(code: number): void;
}

/** Handles uncaught errors from now on. */
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
    // A failed write to the log must not throw in this handler.
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
