/** The id of a call: the client's X-Request-Id if that value is valid, else a new id. */
import { randomUUID } from 'node:crypto';

export const REQUEST_ID = 'X-Request-Id';

/**
 * POLICY: the characters of UUIDs, ULIDs, trace ids, base64 and load balancers' ids. No allowed character ends a line
 * or a field.
 */
const ALLOWED = /^[\w.~+/=:@-]{1,128}$/;

/** Returns the request's id if it is valid and at most 128 characters long, else a random UUID. */
export function requestIdOf(value: string | string[] | undefined): string {
  return typeof value === 'string' && ALLOWED.test(value) ? value : randomUUID();
}
