/** Answers in the words and with the headers of the original, which are those of Go's net/http. */
import type { ServerResponse } from 'node:http';
import type { ArgyleError } from '../errors';
import { asArgyleError } from '../errors';

const TEXT = 'text/plain; charset=utf-8';

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
