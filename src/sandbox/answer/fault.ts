/** What a guest did against the protocol, as an error; and which errors of undici's mean the same. */
import { ArgyleError } from '../../errors';

/** @param what completes "the function's answer is no valid HTTP: …" */
export function fault(what: string): ArgyleError {
  return new ArgyleError('GUEST_PROTOCOL', `the function's answer is no valid HTTP: ${what}`);
}

/** Its parser's errors have no codes. */
const PARSER_ERROR = 'HTTPParserError';
/** Codes of undici's other errors for answers that it cannot take. */
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
  const known = error.name === PARSER_ERROR || UNDICI_CODES.has(code) || UNDICI_MESSAGES.has(error.message);
  if (!known) return undefined;
  // Not as its cause: undici's errors hold the guest's bytes.
  return fault(error.message);
}
