/** Answers in the words and with the headers of the original, which are those of Go's net/http. */
import type { ServerResponse } from 'node:http';
import type { ArgyleError } from '../errors';
import { asArgyleError } from '../errors';
import type { EventLog } from './ports';

const TEXT = 'text/plain; charset=utf-8';
/** Most characters of a message in the log: an install's has the end of its tool's output. */
const MAX_LOGGED = 1000;

function send(res: ServerResponse, status: number, body: string | Buffer, headers: Record<string, string>): void {
  if (res.headersSent || res.destroyed) return;
  res.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
  res.end(body);
}

/** A plain body as it stands. */
export function sendText(
  res: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  send(res, status, body, { ...(body === '' ? {} : { 'Content-Type': TEXT }), ...headers });
}

/** JSON and a newline, as Go's encoder writes it. */
export function sendJson(res: ServerResponse, status: number, value: unknown): void {
  send(res, status, `${JSON.stringify(value)}\n`, { 'Content-Type': 'application/json' });
}

export function sendBinary(res: ServerResponse, status: number, body: Buffer): void {
  send(res, status, body, { 'Content-Type': 'application/octet-stream' });
}

/** Like http.Error: the message and a newline. */
export function sendError(res: ServerResponse, status: number, message: string, code?: string): void {
  sendText(res, status, `${message}\n`, {
    'X-Content-Type-Options': 'nosniff',
    ...(code === undefined ? {} : { 'X-Argyle-Error': code }),
  });
}

/** Answers with a typed error's own status and message. `prefix` stands before the message. */
export function sendThrown(res: ServerResponse, thrown: unknown, prefix = ''): ArgyleError {
  const error = asArgyleError('INTERNAL', thrown);
  sendError(res, error.status, prefix + error.message, error.code);
  return error;
}

/**
 * Leaves one line in the log for an answer of 5xx that the worker makes itself, and none for others. The stack stands
 * there for faults of the worker only.
 */
export function logFailure(log: EventLog, error: ArgyleError, fields: object, status: number = error.status): void {
  const { code } = error;
  if (status < 500) log.debug({ ...fields, code, err: error }, 'request failed');
  else if (code === 'INTERNAL') log.warn({ ...fields, status, code, err: error }, 'the worker failed');
  else log.warn({ ...fields, status, code, error: error.message.slice(0, MAX_LOGGED) }, 'request failed');
}
