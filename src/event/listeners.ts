/** Where the worker listens: its TCP address, and the unix socket that tells its pid. */
import { rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { ListenOptions } from 'node:net';
import express from 'express';
import { ArgyleError } from '../errors';
import { muxNotFound } from './mux';
import { sendText } from './replies';

/** Go's limit of a request's header, bytes. */
const MAX_HEADER_BYTES = 1 << 20;
/** Go closes idle connections never; clients that reuse one after a pause should find it open. */
const KEEP_ALIVE_MS = 120_000;

/** Header and line of one request must be complete within this time; bodies may take as long as they like. */
const HEADERS_MS = 60_000;

export interface Listener {
  server: Server;
  /** The bound port; 0 for a unix socket. */
  port: number;
  /** Stops accepting, lets running requests end for `graceMs`, then cuts their connections. Never rejects. */
  close(graceMs: number): Promise<void>;
}

/** An HTTP server with the worker's limits, not listening. */
export function createHttpServer(app: RequestListener): Server {
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: KEEP_ALIVE_MS }, app);
  server.headersTimeout = HEADERS_MS;
  server.requestTimeout = 0;
  server.maxHeadersCount = 0;
  return server;
}

async function listen(server: Server, options: ListenOptions, where: string): Promise<Listener> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the address is in use' : error.message;
      reject(new ArgyleError('LISTEN', `cannot listen on ${where}: ${why}`, { cause: error, value: where }));
    });
    server.listen(options, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { server, port, close: (graceMs) => close(server, graceMs) };
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
 * Listens on worker_url:worker_port. Resolves once the port is bound.
 * @param host '' for all addresses, as in Go
 * @param port 0 for any
 * @throws ArgyleError LISTEN
 */
export function listenTcp(app: RequestListener, host: string, port: number): Promise<Listener> {
  const options = host === '' ? { port } : { host, port };
  return listen(createHttpServer(app), options, `${host}:${port}`);
}

/**
 * Listens on <worker_dir>/ol.sock (0600), which knows only `/pid`. A left-over socket is replaced.
 * @throws ArgyleError LISTEN
 */
export async function listenPidSocket(path: string, pid: number = process.pid): Promise<Listener> {
  const app = express();
  app.disable('x-powered-by');
  app.enable('strict routing');
  app.enable('case sensitive routing');
  app.all('/pid', (_req, res) => {
    sendText(res, 200, `${pid}\n`);
  });
  app.use(muxNotFound());
  await rm(path, { force: true });
  // The mode must hold from the first moment: a chmod afterwards would leave a gap. The socket is bound before listen()
  // first yields, so that no other file is made under this mask.
  const umask = process.umask(0o177);
  const listening = listen(createHttpServer(app), { path }, path);
  process.umask(umask);
  return listening;
}
