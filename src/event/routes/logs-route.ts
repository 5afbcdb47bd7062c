/** `GET /logs/<name>`: serves a function's log, one JSON object per line. With `follow`, sends new lines, too. */
import type { Request, RequestHandler, Response } from 'express';
import { ArgyleError } from '../../errors';
import { checkLambdaName } from '../../lambda/code/name';
import { logRequest } from './log-query';
import { decodePath, splitTarget } from '../http/mux';
import type { FunctionLogReader, FunctionRegistry } from '../ports';
import { sendError, sendThrown } from '../http/replies';

const PREFIX = '/logs/';
/** One JSON object per line. */
const NDJSON = 'application/x-ndjson';
/** Maximum number of clients that may follow logs at the same time. */
const MAX_FOLLOWERS = 64;
/** Time between empty lines, ms. An empty line tells the client and its proxies that the connection is alive. */
const BEAT_MS = 15_000;
/** Maximum number of unsent bytes per client. A client above this limit misses lines. */
const MAX_BEHIND_BYTES = 1 << 20;

export interface LogsDeps {
  logs: FunctionLogReader;
  registry: Pick<FunctionRegistry, 'config'>;
}

/** The route, and a function that ends the answers that follow a log. */
export interface LogsRoute {
  handle: RequestHandler;
  close(): void;
}

export function logsRoute({ logs, registry }: LogsDeps): LogsRoute {
  const followed = new Set<Response>();
  const serve = async (req: Request, res: Response): Promise<void> => {
    const { path, query } = splitTarget(req.url);
    const name = decodePath(path).slice(PREFIX.length);
    checkLambdaName(name);
    const { follow, ...wanted } = logRequest(new URLSearchParams(query));
    if (follow && followed.size >= MAX_FOLLOWERS) {
      sendError(res, 429, `${MAX_FOLLOWERS} clients follow logs already`);
      return;
    }
    const client = follow && req.method === 'GET' ? new Follower(res) : undefined;
    if (client !== undefined) followed.add(res);
    res.on('close', () => {
      followed.delete(res);
      if (client !== undefined) logs.unfollow(name, client.take);
    });
    const lines = await logs.read(name, wanted, client?.take);
    if (lines === undefined && (await registry.config(name)) === undefined) {
      throw new ArgyleError('LAMBDA_NOT_FOUND', `there is no function ${name}, and no log of one`);
    }
    res.writeHead(200, { 'Content-Type': NDJSON, 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' });
    const text = (lines ?? []).map((line) => `${line}\n`).join('');
    if (client === undefined) res.end(text);
    else client.begin(text);
  };
  return {
    handle: async (req, res) => {
      if (req.method !== 'GET' && req.method !== 'HEAD') {
        sendError(res, 405, 'method not allowed');
        return;
      }
      try {
        await serve(req, res);
      } catch (thrown) {
        if (!(thrown instanceof ArgyleError)) throw thrown;
        const status = { LAMBDA_NAME: 400, LAMBDA_NOT_FOUND: 404 }[thrown.code as string];
        if (status === undefined) sendThrown(res, thrown);
        else sendError(res, status, thrown.message, thrown.code);
      }
    },
    close: () => {
      for (const res of followed) res.end();
    },
  };
}

/** Sends new lines to one client. A client that reads too slowly misses lines and gets their number. */
class Follower {
  /** Lines that arrive before the answer begins. */
  private early: string[] | undefined = [];
  private missed = 0;
  private beat: NodeJS.Timeout | undefined;

  constructor(private readonly res: Response) {}

  readonly take = (line: string): void => {
    if (this.early !== undefined) this.early.push(line);
    else this.send(line);
  };

  begin(text: string): void {
    const { res } = this;
    res.write(text);
    res.flushHeaders();
    const early = this.early ?? [];
    this.early = undefined;
    early.forEach((line) => {
      this.send(line);
    });
    this.beat = setInterval(() => {
      if (res.writableLength === 0) res.write('\n');
    }, BEAT_MS).unref();
    res.on('close', () => {
      clearInterval(this.beat);
    });
  }

  private send(line: string): void {
    const { res } = this;
    if (res.writableEnded || res.destroyed) return;
    if (res.writableLength > MAX_BEHIND_BYTES) {
      this.missed++;
      return;
    }
    if (this.missed > 0) {
      const msg = `${this.missed} lines were left out: this client reads too slowly`;
      res.write(`${JSON.stringify({ time: new Date().toISOString(), level: 'warn', stream: 'worker', msg })}\n`);
      this.missed = 0;
    }
    res.write(`${line}\n`);
  }
}
