/** Errors as RFC 9457's application/problem+json, for clients that ask for this type by name. */
import type { IncomingMessage } from 'node:http';
import { STATUS_CODES } from 'node:http';
import { ERRORS, type ErrorCode } from '../../errors';

export const PROBLEM = 'application/problem+json';

/**
 * Whether the client asks for problem+json. POLICY: Accept must name the type itself. A wildcard gets the contract's
 * text, since clients of the original expect it.
 */
export function wantsProblem({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  const accept = headers.accept;
  if (accept === undefined || !/problem\+json/i.test(accept)) return false;
  return accept.split(',').some((range) => {
    const [type, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    return type === PROBLEM && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
  });
}

/**
 * The body of a problem. `type` is `about:blank` for an error without a code.
 * @param id of the call, if the error belongs to a call
 */
export function problemText(status: number, detail: string, code?: ErrorCode, id?: string): string {
  const typed = code === undefined ? { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error' } : typedAs(code);
  return `${JSON.stringify({ ...typed, status, detail, ...(id === undefined ? {} : { request_id: id }) })}\n`;
}

function typedAs(code: ErrorCode): object {
  const { about, retryable } = ERRORS[code];
  return { type: `urn:argyle:error:${code}`, title: about, code, retryable };
}
