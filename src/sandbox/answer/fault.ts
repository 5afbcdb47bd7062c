/** Protocol faults of a guest as errors, and the undici errors that mean such a fault. */
import { ArgyleError } from '../../errors';

/** Makes a GUEST_PROTOCOL error. @param what completes the sentence "the function's answer is no valid HTTP: …" */
export function fault(what: string): ArgyleError {
  return new ArgyleError('GUEST_PROTOCOL', `the function's answer is no valid HTTP: ${what}`);
}

/** Name of undici's parser errors, which have no code. */
const PARSER_ERROR = 'HTTPParserError';
/** Code of the error for a body whose length differs from the declared length. */
export const LENGTH_MISMATCH = 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH';
/** Codes of undici's other errors for malformed answers. */
const UNDICI_CODES: ReadonlySet<string> = new Set([LENGTH_MISMATCH, 'UND_ERR_RES_EXCEEDED_MAX_SIZE', 'ERR_ASSERTION']);
/** Messages of undici errors whose code also stands for a connection that merely ended. */
const UNDICI_MESSAGES: ReadonlySet<string> = new Set(['bad response', 'bad upgrade']);

/** Converts an error that means a protocol fault to GUEST_PROTOCOL; returns undefined for other errors. */
export function asFault(error: Error): ArgyleError | undefined {
  if (error instanceof ArgyleError) return error.code === 'GUEST_PROTOCOL' ? error : undefined;
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const known = error.name === PARSER_ERROR || UNDICI_CODES.has(code) || UNDICI_MESSAGES.has(error.message);
  if (!known) return undefined;
  // The undici error is not attached as the cause, because it contains bytes of the guest.
  return fault(error.message);
}
