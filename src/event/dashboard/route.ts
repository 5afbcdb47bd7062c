/** `/dashboard`: serves the dashboard's page and its event stream. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Request, RequestHandler, Response } from 'express';
import { decodePath, splitTarget } from '../http/mux';
import type { EventLog } from '../ports';
import { sendError, sendText } from '../http/replies';
import { Feed } from './feed';
import { isPage, PAGE_FILES, PAGE_HEADERS } from './files';
import { Snapshots, type DashboardSources } from './snapshot';

const EVENTS = '/dashboard/events';
/** X-Accel-Buffering stops nginx from buffering the stream. */
const STREAM_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-store',
  'X-Accel-Buffering': 'no',
};
/** Maximum number of streams that may be open at the same time. */
const MAX_WATCHERS = 32;
/** Maximum number of unsent bytes per client. A client above this limit misses snapshots. */
const MAX_BEHIND_BYTES = 1 << 18;

export interface DashboardRoute {
  handle: RequestHandler;
  /** Ends all open streams. */
  close(): void;
}

export function dashboardRoute(sources: DashboardSources, log: EventLog): DashboardRoute {
  const snapshots = new Snapshots(sources);
  const feed = new Feed(
    () => snapshots.take(),
    (err) => {
      log.warn({ err }, 'a snapshot for the dashboard failed');
    },
  );
  const open = new Set<Response>();
  let closed = false;

  const serveEvents = (req: Request, res: Response): void => {
    if (closed) {
      // A page whose stream has ended reconnects at once. Its new stream would delay the worker's shutdown.
      sendError(res, 503, 'the worker is stopping', 'SHUTTING_DOWN');
      return;
    }
    if (open.size >= MAX_WATCHERS) {
      sendError(res, 429, `${MAX_WATCHERS} clients look at the dashboard already`);
      return;
    }
    res.writeHead(200, { ...PAGE_HEADERS, ...STREAM_HEADERS });
    if (req.method === 'HEAD') {
      res.end();
      return;
    }
    open.add(res);
    const stop = feed.watch((text) => {
      if (res.writableLength > MAX_BEHIND_BYTES) return false;
      res.write(text);
      return true;
    });
    res.on('close', () => {
      open.delete(res);
      stop();
    });
  };

  return {
    handle: async (req, res) => {
      const path = decodePath(splitTarget(req.url).path);
      const page = PAGE_FILES.get(path);
      if (!isPage(path) && path !== EVENTS) sendError(res, 404, '404 page not found');
      else if (req.method !== 'GET' && req.method !== 'HEAD') sendError(res, 405, 'method not allowed');
      else if (path === EVENTS) serveEvents(req, res);
      else if (page === undefined) sendText(res, 301, '', { ...PAGE_HEADERS, Location: '../dashboard' });
      else {
        const text = await readFile(join(__dirname, 'page', page.file), 'utf8');
        sendText(res, 200, text, { ...PAGE_HEADERS, 'Content-Type': page.type });
      }
    },
    close: () => {
      closed = true;
      feed.close();
      for (const res of open) res.end();
    },
  };
}
