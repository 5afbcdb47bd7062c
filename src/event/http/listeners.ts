/** The worker's listeners: its TCP address, and the unix socket that serves its pid. */
import { readFileSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import { Server as NetServer, type ListenOptions } from 'node:net';
import { dirname, join } from 'node:path';
import express, { type Express } from 'express';
import { ArgyleError } from '../../errors';
import { muxNotFound } from './mux';
import { sendText } from './replies';
import { oneAtATime } from './turns';

/**
 * Maximum length of the request line and headers, in bytes. POLICY: a function's sandbox refuses more than 64 KiB
 * anyway. Go accepts 1 MiB, which would block the event loop for 0.2 s.
 */
const MAX_HEADER_BYTES = 128 * 1024;
/**
 * Idle connections stay open for this time, ms. Go never closes them, so clients expect to reuse a connection after a
 * pause.
 */
const KEEP_ALIVE_MS = 120_000;

/**
 * Maximum number of connections that clients may have open. POLICY: half of the process's file descriptors. Sandboxes
 * and files need the other half. The worker closes further connections at once.
 */
export function mostConnections(limits = readFileSync('/proc/self/limits', 'latin1')): number {
  const most = /^Max open files +(\d+)/m.exec(limits)?.[1];
  return most === undefined ? Infinity : Math.max(1, Math.floor(Number(most) / 2));
}

/** The request line and headers must be complete within this time, ms. Bodies have their own limit (body-rate.ts). */
const HEADERS_MS = 60_000;

export interface Listener {
  server: Server;
  /** The bound port; 0 for a unix socket. */
  port: number;
  /** Makes each connection end with its next answer. */
  endConnections(): void;
  /** Stops accepting and leaves connections open. Resolves when all of them have ended. */
  leave(): Promise<void>;
  /** Stops accepting, waits up to `graceMs` for running requests, then cuts their connections. Never rejects. */
  close(graceMs: number): Promise<void>;
}

/**
 * Makes an HTTP server with the worker's limits. It does not listen yet.
 * @param ending once aborted, each connection ends with its next answer
 */
export function createHttpServer(app: RequestListener, ending?: AbortSignal): Server {
  const turns = oneAtATime(app);
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: KEEP_ALIVE_MS }, (req, res) => {
    if (ending?.aborted === true) res.shouldKeepAlive = false;
    turns(req, res);
  });
  server.headersTimeout = HEADERS_MS;
  server.requestTimeout = 0;
  server.maxHeadersCount = 0;
  server.maxConnections = mostConnections();
  return server;
}

async function listen(app: RequestListener, options: ListenOptions | { fd: number }, where: string): Promise<Listener> {
  const ending = new AbortController();
  const server = createHttpServer(app, ending.signal);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the address is in use' : error.message;
      reject(new ArgyleError('LISTEN', `cannot listen on ${where}: ${why}`, { cause: error, value: where }));
    });
    server.listen(options, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    server,
    port,
    endConnections: () => {
      ending.abort();
    },
    leave: () =>
      new Promise((resolve) => {
        // http.Server's close() would also cut idle connections. A client may use such a connection next.
        NetServer.prototype.close.call(server, () => {
          resolve();
        });
      }),
    close: (graceMs) => close(server, graceMs),
  };
}

function close(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.closeAllConnections();
    }, graceMs);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}

/**
 * Listens on worker_url:worker_port. Resolves when the port is bound.
 * @param host '' for all addresses, as in Go
 * @param port 0 for any port
 * @throws ArgyleError LISTEN
 */
export function listenTcp(app: RequestListener, host: string, port: number): Promise<Listener> {
  const options = host === '' ? { port } : { host, port };
  return listen(app, options, `${host}:${port}`);
}

/** Serves on a listening socket of a previous worker. @throws ArgyleError LISTEN */
export function listenOn(app: RequestListener, fd: number): Promise<Listener> {
  return listen(app, { fd }, 'the socket of the worker that runs');
}

/** The file descriptor of a listener; undefined when Node does not expose it. */
export function descriptorOf({ server }: Pick<Listener, 'server'>): number | undefined {
  // POLICY: Node has no public property for the descriptor. Without it, `ol` stops the old worker before it starts the
  // next.
  const { _handle: handle } = server as { _handle?: { fd?: unknown } | null };
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined;
}

/**
 * Listens on <worker_dir>/ol.sock (mode 0600). The socket serves only `/pid` and the routes of `addRoutes`. Replaces a
 * left-over socket, and the socket of a worker that this worker takes over from.
 * @throws ArgyleError LISTEN
 */
export async function listenPidSocket(path: string, addRoutes?: (app: Express) => void): Promise<Listener> {
  const app = express();
  app.disable('x-powered-by');
  app.enable('strict routing');
  app.enable('case sensitive routing');
  app.all('/pid', (_req, res) => {
    sendText(res, 200, `${process.pid}\n`);
  });
  addRoutes?.(app);
  app.use(muxNotFound());
  // Binds under a temporary name, then renames. A server that ends removes the name that it was bound to, and by then
  // that name may belong to the next worker.
  const draft = join(dirname(path), `o.${process.pid.toString(36)}`);
  await rm(draft, { force: true });
  // The mode must hold from the start: a later chmod would leave a gap. The socket is bound before listen() first
  // yields, so this umask affects no other file.
  const umask = process.umask(0o177);
  const listening = listen(app, { path: draft }, path);
  process.umask(umask);
  const listener = await listening;
  await rename(draft, path);
  return listener;
}
