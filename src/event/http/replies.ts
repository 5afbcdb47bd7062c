/** Answers with the texts and headers of the original, i.e. those of Go's net/http. */
import type { ServerResponse } from 'node:http';
import type { ArgyleError, ErrorCode } from '../../errors';
import { asArgyleError } from '../../errors';
import { REQUEST_ID } from '../call/request-id';
import type { EventLog } from '../ports';
import { PROBLEM, problemText, wantsProblem } from './problem';

const TEXT = 'text/plain; charset=utf-8';
/**
 * Maximum length of a message in the log, in characters. Messages of failed installs contain the end of the tool's
 * output.
 */
const MAX_LOGGED = 1000;

function send(res: ServerResponse, status: number, body: string | Buffer, headers: Record<string, string>): void {
  if (res.headersSent || res.destroyed) return;
  res.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
  res.end(body);
}

/** Sends a plain body unchanged. */
export function sendText(
  res: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  send(res, status, body, { ...(body === '' ? {} : { 'Content-Type': TEXT }), ...headers });
}

/** Sends JSON and a newline, as Go's encoder does. */
export function sendJson(res: ServerResponse, status: number, value: unknown): void {
  send(res, status, `${JSON.stringify(value)}\n`, { 'Content-Type': 'application/json' });
}

export function sendBinary(res: ServerResponse, status: number, body: Buffer): void {
  send(res, status, body, { 'Content-Type': 'application/octet-stream' });
}

/**
 * Like http.Error: sends the message and a newline, or a problem+json if the client asks for it. @param headers extra
 * headers
 */
export function sendError(
  res: ServerResponse,
  status: number,
  message: string,
  code?: ErrorCode,
  headers: Record<string, string> = {},
): void {
  const wanted = wantsProblem(res.req);
  const id = headers[REQUEST_ID] ?? res.getHeader(REQUEST_ID)?.toString();
  const body = wanted ? problemText(status, message, code, id) : `${message}\n`;
  sendText(res, status, body, {
    ...(wanted ? { 'Content-Type': PROBLEM } : {}),
    'X-Content-Type-Options': 'nosniff',
    ...(code === undefined ? {} : { 'X-Argyle-Error': code }),
    ...headers,
  });
}

/** Sends the status and message of a typed error. @param headers extra headers */
export function sendThrown(res: ServerResponse, thrown: unknown, headers?: Record<string, string>): ArgyleError {
  const error = asArgyleError('INTERNAL', thrown);
  // POLICY: Retry-After is 1 s. By then the queue has moved, or another worker takes calls.
  const isFull = error.status === 429 || error.code === 'SHUTTING_DOWN';
  const later = isFull ? { 'Retry-After': String(error.retryAfterSec ?? 1) } : {};
  sendError(res, error.status, error.message, error.code, { ...later, ...headers });
  return error;
}

/**
 * Logs one line for each 5xx answer that the worker makes itself. The line has a stack only for faults of the worker.
 */
export function logFailure(log: EventLog, error: ArgyleError, fields: object, status: number = error.status): void {
  const { code } = error;
  if (status < 500) log.debug({ ...fields, code, err: error }, 'request failed');
  else if (code === 'INTERNAL') log.warn({ ...fields, status, code, err: error }, 'the worker failed');
  else log.warn({ ...fields, status, code, error: error.message.slice(0, MAX_LOGGED) }, 'request failed');
}
