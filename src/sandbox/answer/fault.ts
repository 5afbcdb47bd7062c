/** What a guest did against the protocol, as an error; and which errors of undici's mean the same. */
import { ArgyleError } from '../../errors';

/** @param what completes "the function's answer is no valid HTTP: …" */
export function fault(what: string, cause?: unknown): ArgyleError {
  return new ArgyleError('GUEST_PROTOCOL', `the function's answer is no valid HTTP: ${what}`, { cause });
}

/** Codes of undici's errors for answers that it cannot parse; those of its parser begin with HPE_. */
const UNDICI_CODES: ReadonlySet<string> = new Set([
  'UND_ERR_HEADERS_OVERFLOW',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_RES_EXCEEDED_MAX_SIZE',
  'ERR_ASSERTION',
]);
/** Undici's messages of errors that share their code with a connection that merely ended. */
const UNDICI_MESSAGES: ReadonlySet<string> = new Set(['bad response', 'bad upgrade']);

/** The error as GUEST_PROTOCOL when it tells of a guest that does not keep to the protocol; undefined otherwise. */
export function asFault(error: Error): ArgyleError | undefined {
  if (error instanceof ArgyleError) return error.code === 'GUEST_PROTOCOL' ? error : undefined;
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (!code.startsWith('HPE_') && !UNDICI_CODES.has(code) && !UNDICI_MESSAGES.has(error.message)) return undefined;
  return fault(error.message, error);
}
