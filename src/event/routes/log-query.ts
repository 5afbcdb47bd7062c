/** Parses the query of `GET /logs/<name>`. Pure. */
import { ArgyleError } from '../../errors';
import type { LogQuery } from '../../log/functions/store';

export interface LogRequest extends LogQuery {
  follow: boolean;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Largest `tail`. No log has this many lines. */
const MAX_TAIL = 1_000_000;

function invalid(field: string, value: string, expected: string): ArgyleError {
  const shown = value.slice(0, 100);
  return new ArgyleError('REQUEST_INVALID', `${field} must be ${expected}, not ${JSON.stringify(shown)}`, {
    field,
    value: shown,
  });
}

/** Converts `since` to ms. It is an age (`90s`, `5m`, `2h`, `1d`) or a date (`2026-11-29T12:00:00Z`). */
function sinceOf(value: string, nowMs: number): number {
  const [, amount, unit = ''] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(value) ?? [];
  if (amount !== undefined) return Math.max(0, nowMs - Number(amount) * (UNITS[unit] ?? 1));
  const atMs = /^\d{4}-\d\d-\d\d/.test(value) ? Date.parse(value) : NaN;
  if (Number.isNaN(atMs)) throw invalid('since', value, 'a duration such as 90s, 5m, 2h or 1d, or a time in ISO 8601');
  return atMs;
}

/**
 * Reads the query of a request for a log.
 * @throws ArgyleError REQUEST_INVALID
 */
export function logRequest(query: URLSearchParams, nowMs = Date.now()): LogRequest {
  const [tail, since, follow] = ['tail', 'since', 'follow'].map((name) => query.get(name) ?? '');
  const request: LogRequest = { follow: false };
  if (tail !== undefined && tail !== '') {
    if (!/^\d{1,7}$/.test(tail) || Number(tail) > MAX_TAIL)
      throw invalid('tail', tail, `a number from 0 to ${MAX_TAIL}`);
    request.tail = Number(tail);
  }
  if (since !== undefined && since !== '') request.sinceMs = sinceOf(since, nowMs);
  if (query.has('follow')) {
    if (!['', '1', 'true', '0', 'false'].includes(follow ?? '')) throw invalid('follow', follow ?? '', 'true or false');
    request.follow = follow !== '0' && follow !== 'false';
  }
  return request;
}
