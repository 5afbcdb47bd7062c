/** Errors of requests whose sandbox is gone, and of requests that were never sent. */
import type { AnswerHandler } from './guard';

/** Codes of undici and socket errors that mean that the guest is gone or does not speak HTTP. */
const BROKEN: ReadonlySet<string> = new Set([
  'UND_ERR_SOCKET',
  'ECONNRESET',
  'EPIPE',
  'ECONNREFUSED',
  'ENOENT',
  'UND_ERR_DESTROYED',
]);

/** Whether a request failed because its connection failed. */
export function isBroken(error: Error): boolean {
  return BROKEN.has((error as NodeJS.ErrnoException).code ?? '');
}

/** Fails a request that never started. */
export function failUnsent(handler: AnswerHandler, error: Error): void {
  queueMicrotask(() => {
    handler.onError(error);
  });
}
