/** `/run/<name>…`: hands requests to functions. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { asArgyleError } from '../errors';
import { Cancellation, type CancelSignal } from '../lambda/cancellation';
import type { Invocation } from '../lambda/invocation';
import { InvocationBody } from '../lambda/invocation';
import type { Stats } from '../metrics';
import type { WorkerMetrics } from '../metrics/prometheus';
import type { BodyRate } from './body-rate';
import { forwarded } from './forwarded';
import { decodePath, splitTarget } from './mux';
import type { EventLog, Invoker } from './ports';
import { logFailure, sendError, sendText, sendThrown } from './replies';
import { HttpResponseSink } from './response-sink';

export interface RunDeps {
  invoker: Invoker;
  stats: Stats;
  metrics: Pick<WorkerMetrics, 'requestEnded'>;
  log: EventLog;
  /** Watches bodies that have to be waited for. */
  bodies: Pick<BodyRate, 'watch' | 'open'>;
  /** argyle.function_host: whether functions see the client's Host, or `root` as in the original. */
  functionHost: 'client' | 'root';
}

const PREFIX = '/run/';
/** Characters of a name in the log: as many as a function's may have. */
const MAX_NAME = 200;

/** Targets that mean what they say: nothing in them for mux.ts to clean, decode or refuse. */
const PLAIN = /^\/run(?:\/[\w-][\w.~-]*)+(?:\?|$)/;

/** Answers `/run/…`, whether or not it came through Express. */
export type RunHandler = (req: IncomingMessage, res: ServerResponse) => Promise<void>;

/** Whether Express's chain would hand a request for this target to the run route as it is. */
export function isPlainRun(target: string): boolean {
  return PLAIN.test(target);
}

/** First segment of the decoded path behind /run/. */
export function lambdaName(path: string): string {
  const rest = decodePath(path).slice(PREFIX.length);
  const slash = rest.indexOf('/');
  return slash < 0 ? rest : rest.slice(0, slash);
}

function bodyOf(req: IncomingMessage, res: ServerResponse, bodies: RunDeps['bodies']): InvocationBody {
  const length = req.headers['content-length'];
  const onWaiting = (): void => {
    bodies.watch(req, res);
  };
  const arrival = { onWaiting, open: bodies.open };
  if (req.headers['transfer-encoding'] !== undefined) return new InvocationBody(req, undefined, arrival);
  return length === undefined || Number(length) === 0
    ? InvocationBody.empty()
    : new InvocationBody(req, Number(length), arrival);
}

export function runRoute(deps: RunDeps): RunHandler {
  const { stats, metrics, invoker, log, bodies } = deps;
  const keepHost = deps.functionHost === 'client';
  return async (req, res) => {
    const startMs = performance.now();
    const { path, query } = splitTarget(req.url ?? '/');
    const name = lambdaName(path);
    if (name === '') {
      const message = 'expected invocation format: /run/<lambda-name>';
      log.warn({ status: 500 }, message);
      // The only answer of the worker with a CORS header, and without a newline.
      sendText(res, 500, message, { 'Access-Control-Allow-Origin': '*' });
      return;
    }
    const gone = new Cancellation();
    const onClose = (): void => {
      if (!res.writableFinished) gone.abort();
    };
    res.on('close', onClose);
    const { headers, origin } = forwarded(req, name, keepHost);
    const invocation: Invocation = {
      method: req.method ?? 'GET',
      uri: path + query,
      headers,
      ...(origin === undefined ? {} : { origin }),
      body: bodyOf(req, res, bodies),
      sink: new HttpResponseSink(res),
      signal: gone,
    };
    try {
      await invoker.invoke(name, invocation);
    } catch (thrown) {
      answer(res, thrown, gone, name, log);
    } finally {
      // What nobody wanted of the body is read and dropped, so that the connection can be used again.
      if (!req.readableEnded) req.resume();
      invocation.body.done();
      const ms = performance.now() - startMs;
      stats.record('web-request', ms);
      metrics.requestEnded(name, res.headersSent ? res.statusCode : 0, ms / 1000);
    }
  };
}

function answer(res: ServerResponse, thrown: unknown, gone: CancelSignal, name: string, log: EventLog): void {
  if (gone.aborted) return;
  const error = asArgyleError('INTERNAL', thrown);
  logFailure(log, error, { lambda: name.slice(0, MAX_NAME) });
  if (res.headersSent) res.destroy();
  else if (error.code === 'INTERNAL') sendError(res, 500, 'internal error of the worker', error.code);
  else sendThrown(res, error);
}
