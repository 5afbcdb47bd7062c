/** `/run/<name>…`: passes requests to functions. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { asArgyleError, type ArgyleError } from '../../errors';
import { Call } from '../../lambda/serve/call/call';
import { Cancellation, type CancelSignal } from '../../lambda/serve/call/cancellation';
import type { Invocation } from '../../lambda/serve/call/invocation';
import { InvocationBody } from '../../lambda/serve/call/invocation';
import type { Stats } from '../../metrics';
import type { WorkerMetrics } from '../../metrics/prometheus';
import type { BodyRate } from '../http/body-rate';
import { REQUEST_ID, requestIdOf } from '../call/request-id';
import { SERVER_TIMING, serverTiming } from '../call/server-timing';
import type { CallTracer } from '../call/spans';
import { forwarded } from '../http/forwarded';
import { decodePath, splitTarget } from '../http/mux';
import type { EventLog, Invoker } from '../ports';
import { logFailure, sendError, sendText, sendThrown } from '../http/replies';
import { HttpResponseSink } from './response-sink';

export interface RunDeps {
  invoker: Invoker;
  stats: Stats;
  metrics: Pick<WorkerMetrics, 'requestEnded'>;
  log: EventLog;
  /** Limits how slowly bodies may arrive. */
  bodies: Pick<BodyRate, 'watch' | 'open'>;
  /** argyle.function_host: functions see the client's Host, or `root` as in the original. */
  functionHost: 'client' | 'root';
  /** argyle.server_timing: whether answers have a Server-Timing header. Default true. */
  serverTiming?: boolean;
  /** Makes spans of calls; absent without a span exporter. */
  tracer?: CallTracer | undefined;
}

const PREFIX = '/run/';
/** Maximum number of characters of a name in the log. No function has a longer name. */
const MAX_NAME = 200;

/** Targets that mux.ts would neither clean, decode nor refuse. */
const PLAIN = /^\/run(?:\/[\w-][\w.~-]*)+(?:\?|$)/;

/** Handles `/run/…`, from Express or directly. */
export type RunHandler = (req: IncomingMessage, res: ServerResponse) => Promise<void>;

/** Whether Express's middleware would pass a request for this target unchanged to the run route. */
export function isPlainRun(target: string): boolean {
  return PLAIN.test(target);
}

/** First segment of the decoded path behind /run/. */
export function lambdaName(path: string): string {
  const rest = decodePath(path).slice(PREFIX.length);
  const slash = rest.indexOf('/');
  return slash < 0 ? rest : rest.slice(0, slash);
}

function bodyOf(req: IncomingMessage, res: ServerResponse, bodies: RunDeps['bodies'], id: string): InvocationBody {
  const length = req.headers['content-length'];
  const onWaiting = (): void => {
    // body-rate.ts may answer the request, so the id is set here.
    if (!res.headersSent) res.setHeader(REQUEST_ID, id);
    bodies.watch(req, res);
  };
  const arrival = { onWaiting, open: bodies.open };
  if (req.headers['transfer-encoding'] !== undefined) return new InvocationBody(req, undefined, arrival);
  return length === undefined || Number(length) === 0
    ? InvocationBody.empty()
    : new InvocationBody(req, Number(length), arrival);
}

export function runRoute(deps: RunDeps): RunHandler {
  const { stats, metrics, invoker, log, bodies, serverTiming: timed = true, tracer } = deps;
  const keepHost = deps.functionHost === 'client';
  return async (req, res) => {
    const call = new Call(requestIdOf(req.headers['x-request-id']), 'http');
    const { path, query } = splitTarget(req.url ?? '/');
    const name = lambdaName(path);
    if (name === '') {
      const message = 'expected invocation format: /run/<lambda-name>';
      log.warn({ status: 500, request_id: call.id }, message);
      // The only answer with a CORS header and without a final newline.
      sendText(res, 500, message, { 'Access-Control-Allow-Origin': '*', [REQUEST_ID]: call.id });
      return;
    }
    const gone = new Cancellation();
    const onClose = (): void => {
      if (!res.writableFinished) gone.abort();
    };
    res.on('close', onClose);
    const { headers, origin } = forwarded(req, name, call.id, keepHost);
    const span = tracer?.begin(name, req.method ?? 'GET', call, headers);
    const invocation: Invocation = {
      call,
      method: req.method ?? 'GET',
      uri: path + query,
      headers: span?.headers ?? headers,
      ...(origin === undefined ? {} : { origin }),
      body: bodyOf(req, res, bodies, call.id),
      sink: new HttpResponseSink(res, call, timed),
      signal: gone,
    };
    let failed: ArgyleError | undefined;
    try {
      await invoker.invoke(name, invocation);
    } catch (thrown) {
      const headers = { [REQUEST_ID]: call.id, ...(timed ? { [SERVER_TIMING]: serverTiming(call) } : {}) };
      failed = answer(res, thrown, gone, { lambda: name.slice(0, MAX_NAME), request_id: call.id }, headers, log);
    } finally {
      // Drains the rest of the body, so that the connection can be reused.
      if (!req.readableEnded) req.resume();
      invocation.body.done();
      const ms = performance.now() - call.beganMs;
      stats.record('web-request', ms);
      const status = res.headersSent ? res.statusCode : 0;
      metrics.requestEnded(name, status, ms / 1000);
      span?.end(status, failed);
    }
  };
}

/** Answers with an error. @returns the error; undefined when the client has left */
function answer(
  res: ServerResponse,
  thrown: unknown,
  gone: CancelSignal,
  fields: object,
  headers: Record<string, string>,
  log: EventLog,
): ArgyleError | undefined {
  if (gone.aborted) return undefined;
  const error = asArgyleError('INTERNAL', thrown);
  logFailure(log, error, fields);
  if (res.headersSent) res.destroy();
  else if (error.code === 'INTERNAL') sendError(res, 500, 'internal error of the worker', error.code, headers);
  else sendThrown(res, error, headers);
  return error;
}
