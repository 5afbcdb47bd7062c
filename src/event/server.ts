/** Builds the worker's HTTP application in lambda mode. listeners.ts opens the ports. */
import type { RequestListener, ServerResponse } from 'node:http';
import express from 'express';
import type { Express, NextFunction, Request, RequestHandler, Response } from 'express';
import { ArgyleError } from '../errors';
import type { StatsRegistry } from '../metrics';
import type { WorkerMetrics } from '../metrics/prometheus';
import { AccessCheck, hasBody, type AccessSettings } from './http/access';
import type { CallTracer } from './call/spans';
import { BodyRate, type BodyRateSettings } from './http/body-rate';
import type { DashboardRoute } from './dashboard/route';
import { kafkaInitRoute, kafkaRegisterRoute, kafkaStopRoute } from './routes/kafka-routes';
import type { LogsRoute } from './routes/logs-route';
import { muxNotFound, muxRedirects } from './http/mux';
import type { EventLog, FunctionRegistry, Invoker, TriggerHost } from './ports';
import { Profiler } from './routes/pprof';
import { Readiness } from './readiness';
import { registryRoute } from './routes/registry-routes';
import { sendBinary, sendError, sendJson, sendText, sendThrown } from './http/replies';
import { isPlainRun, runRoute, type RunHandler } from './routes/run-route';

export interface ServerDeps {
  invoker: Invoker;
  registry: FunctionRegistry;
  /** Absent: Kafka triggers are refused with an error. */
  triggers?: TriggerHost;
  stats: StatsRegistry;
  metrics: WorkerMetrics;
  log: EventLog;
  /** argyle.admin_token; '' disables the token. */
  adminToken: string;
  /** Further settings of the access check. */
  access?: Omit<AccessSettings, 'adminToken'>;
  /** Minimum speed of request bodies. */
  bodyRate?: BodyRateSettings;
  /** argyle.function_host. */
  functionHost: 'client' | 'root';
  /** argyle.server_timing; true when absent. */
  serverTiming?: boolean;
  /** See RunDeps. */
  tracer?: CallTracer | undefined;
  /** Further descriptions for /debug, e.g. of zygotes. */
  debug?: () => Promise<string[]>;
  /** The checks of /readyz. Absent: there are no checks. */
  readiness?: Pick<Readiness, 'report'>;
  /** Serves /logs. Absent: the path does not exist. */
  logs?: LogsRoute | undefined;
  /** Serves /dashboard. Absent: the path does not exist. */
  dashboard?: DashboardRoute;
  /** Returns the JSON value of /zygotes. Absent: the path does not exist. */
  zygotes?: () => unknown;
}

/** Used without a trigger host. */
const NO_TRIGGERS: TriggerHost = {
  register: () => Promise.reject(new ArgyleError('TRIGGER', 'this worker has no Kafka consumers')),
  add: () => Promise.reject(new ArgyleError('TRIGGER', 'this worker has no Kafka consumers')),
  unregister: () => Promise.resolve(),
};

/** Adds the routes of both server modes: /status, /healthz, /readyz, /stats, /pprof, /registry, /metrics. */
export function addCommonRoutes(app: Express, deps: Omit<ServerDeps, 'invoker' | 'triggers' | 'functionHost'>): void {
  const { stats, metrics, registry, readiness = new Readiness([], deps.log) } = deps;
  app.all('/status', (_req, res) => {
    sendText(res, 200, 'ready\n');
  });
  app.all('/healthz', (_req, res) => {
    sendText(res, 200, 'ok\n');
  });
  app.all('/readyz', async (_req, res) => {
    const report = await readiness.report();
    sendJson(res, report.ready ? 200 : 503, report);
  });
  app.all('/stats', (_req, res) => {
    sendText(res, 200, stats.text());
  });
  app.all('/metrics', async (_req, res) => {
    sendText(res, 200, await metrics.text(), { 'Content-Type': metrics.contentType });
  });
  const profiler = new Profiler();
  app.all('/pprof/mem', async (_req, res) => {
    sendBinary(res, 200, await profiler.heap());
  });
  app.all('/pprof/cpu-start', async (_req, res) => {
    if (await profiler.startCpu()) sendText(res, 200, '');
    else sendError(res, 400, 'Already started cpu profiling');
  });
  app.all('/pprof/cpu-stop', async (_req, res) => {
    const profile = await profiler.stopCpu();
    if (profile === undefined) sendText(res, 400, '');
    else sendBinary(res, 200, profile);
  });
  app.all(/^\/registry\//, registryRoute(registry, deps.log));
}

/** `/debug`: all descriptions, each followed by a line of dashes. */
function debugRoute(deps: ServerDeps): RequestHandler {
  return async (_req, res) => {
    const texts = await Promise.all([deps.invoker.debug(), deps.debug?.() ?? []]);
    sendText(res, 200, texts.flat().map(closed).join(''));
  };
}

function closed(text: string): string {
  return `${text}${text.endsWith('\n') ? '' : '\n'}--------\n`;
}

/** An application that treats paths as Go does. `addRoutes` adds routes between the first and the last middleware. */
export function buildApp(log: EventLog, bodies: BodyRate, addRoutes: (app: Express) => void): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('strict routing');
  app.enable('case sensitive routing');
  app.use((req: Request, res: Response, next: NextFunction) => {
    if (hasBody(req)) bodies.watch(req, res);
    next();
  });
  app.use(muxRedirects());
  addRoutes(app);
  app.use(muxNotFound());
  app.use((thrown: unknown, _req: Request, res: Response, _next: NextFunction) => {
    routeFailed(log, res, thrown);
  });
  return app;
}

/** Answers for a route that threw. If its answer has begun, the connection is cut. */
function routeFailed(log: EventLog, res: ServerResponse, thrown: unknown): void {
  log.warn({ err: thrown }, 'a route failed');
  if (res.headersSent) res.destroy();
  else if (thrown instanceof ArgyleError) sendThrown(res, thrown);
  else sendError(res, 500, 'internal error of the worker', 'INTERNAL');
}

/** Passes only those requests to `listener` that the access check admits. */
export function guarded(
  { adminToken, access = {} }: Pick<ServerDeps, 'adminToken' | 'access'>,
  listener: RequestListener,
): RequestListener {
  const check = new AccessCheck({ adminToken, ...access });
  return (req, res) => {
    if (check.admit(req, res)) listener(req, res);
  };
}

/** Watches the bodies of an application. Each request that is cut off is logged. */
export function bodyRateOf({ bodyRate, log }: Pick<ServerDeps, 'bodyRate' | 'log'>): BodyRate {
  return new BodyRate(bodyRate, (err, req) => {
    log.info({ url: req.url?.slice(0, 200), code: err.code }, 'a request body arrived too slowly');
  });
}

/** The routes of lambda mode, without the access check. */
export function lambdaApp(deps: ServerDeps, run: RunHandler, bodies: BodyRate): Express {
  const { registry, triggers = NO_TRIGGERS, log, zygotes, logs, dashboard } = deps;
  return buildApp(log, bodies, (routes) => {
    routes.all(/^\/run\//, run);
    addCommonRoutes(routes, deps);
    routes.all('/debug', debugRoute(deps));
    if (logs !== undefined) routes.all(/^\/logs\//, logs.handle);
    if (dashboard !== undefined) routes.all(/^\/dashboard(?:\/|$)/, dashboard.handle);
    if (zygotes !== undefined) {
      routes.all('/zygotes', (_req, res) => {
        sendJson(res, 200, zygotes());
      });
    }
    const kafka = { registry, triggers, log };
    routes.all(/^\/kafka\/register\//, kafkaRegisterRoute(kafka));
    routes.all(/^\/kafka-init\//, kafkaInitRoute(kafka));
    routes.all(/^\/kafka-stop\//, kafkaStopRoute(kafka));
  });
}

/**
 * The application of lambda mode.
 *
 * POLICY: invocations with a plain path bypass Express. Express would take 0.15 ms of a 2 ms cold start to find the
 * same handler (docs/adr/0006).
 */
export function buildServer(deps: ServerDeps): RequestListener {
  const bodies = bodyRateOf(deps);
  const run = runRoute({ ...deps, bodies });
  const app = lambdaApp(deps, run, bodies);
  return guarded(deps, (req, res) => {
    if (!isPlainRun(req.url ?? '')) app(req, res);
    else
      run(req, res).catch((thrown: unknown) => {
        routeFailed(deps.log, res, thrown);
      });
  });
}
