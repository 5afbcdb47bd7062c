/**
 * Keeps the requests of one client from blocking the event loop. Node parses all bytes that it has read (64 KiB) in one
 * turn of the event loop. 64 KiB can hold about 2,000 requests, or 10,000 chunks of a body.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * POLICY: maximum number of requests that may wait on one connection. When more arrive, the connection ends after the
 * last waiting one.
 */
const MAX_WAITING = 256;

type Turn = [req: IncomingMessage, res: ServerResponse];

/** Key of the connection's queue of requests. */
const LINE = Symbol('line');
/** Set when the queue overflows. Later requests on this connection are ignored. */
const FULL = Symbol('full');
type Lined = Socket & { [LINE]?: Turn[] | undefined; [FULL]?: true };

/** Handles the requests of one connection one at a time, as Go's server does. */
export function oneAtATime(listener: RequestListener): RequestListener {
  const begin = (socket: Lined, line: Turn[], [req, res]: Turn): void => {
    res.once('close', () => {
      const next = line.shift();
      if (next === undefined || socket.destroyed) socket[LINE] = undefined;
      // Starts the next request in a later turn of the loop, since other connections are waiting.
      else setImmediate(begin, socket, line, next);
    });
    listener(req, res);
  };
  return (req, res) => {
    const socket: Lined = req.socket;
    if (socket.destroyed || socket[FULL] === true) return;
    if (req.headers['transfer-encoding'] !== undefined) joinChunks(req);
    const line = socket[LINE];
    if (line === undefined) begin(socket, (socket[LINE] = []), [req, res]);
    else if (line.length < MAX_WAITING) line.push([req, res]);
    else endWith(socket, line);
  };
}

/** Ends a connection after the answer to the last waiting request, as a client's `Connection: close` would. */
function endWith(socket: Lined, line: Turn[]): void {
  socket[FULL] = true;
  socket.pause();
  const last = line.at(-1);
  if (last !== undefined) last[1].shouldKeepAlive = false;
}

/** In each turn of the loop, passes on the first chunk of a body at once, and joins the other chunks into one. */
function joinChunks(req: IncomingMessage): void {
  const push = req.push.bind(req);
  let held: Buffer[] | undefined;
  const flush = (): void => {
    const chunks = held ?? [];
    held = undefined;
    if (chunks.length > 0) push(Buffer.concat(chunks));
  };
  req.push = (chunk: Buffer | null): boolean => {
    if (chunk === null) {
      flush();
      return push(null);
    }
    if (held === undefined) {
      held = [];
      setImmediate(flush);
      return push(chunk);
    }
    held.push(chunk);
    return req.readableLength < req.readableHighWaterMark;
  };
}
