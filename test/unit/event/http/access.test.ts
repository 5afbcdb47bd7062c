/** Every route of the worker, with its kind of access. A route that is missing here fails the first test. */
import type { Express } from 'express';
import { accessOf, type Access } from '../../../../src/event/http/access';
import { BodyRate } from '../../../../src/event/http/body-rate';
import { lambdaApp } from '../../../../src/event/server';
import { sockApp } from '../../../../src/event/sock-mode';
import { StatsRegistry } from '../../../../src/metrics';
import { WorkerMetrics } from '../../../../src/metrics/prometheus';
import { exchange } from '../../../support/raw-http';
import { archive, call, startWorker, type TestWorker } from '../../../support/in-process-worker';

const DASHBOARD = '/^\\/dashboard(?:\\/|$)/';
const REGISTRY = '/^\\/registry\\//';
/** Each route as the application declares it, and a path that matches it. */
const ROUTES: [route: string, path: string, access: Access][] = [
  ['/status', '/status', 'probe'],
  ['/healthz', '/healthz', 'probe'],
  ['/readyz', '/readyz', 'probe'],
  ['/^\\/run\\//', '/run/echo', 'call'],
  ['/metrics', '/metrics', 'metrics'],
  ['/stats', '/stats', 'closed'],
  ['/pprof/mem', '/pprof/mem', 'closed'],
  ['/pprof/cpu-start', '/pprof/cpu-start', 'closed'],
  ['/pprof/cpu-stop', '/pprof/cpu-stop', 'closed'],
  ['/debug', '/debug', 'closed'],
  ['/zygotes', '/zygotes', 'closed'],
  ['/^\\/logs\\//', '/logs/echo', 'closed'],
  [DASHBOARD, '/dashboard', 'page'],
  [DASHBOARD, '/dashboard/', 'page'],
  [DASHBOARD, '/dashboard/page.js', 'page'],
  [DASHBOARD, '/dashboard/events', 'closed'],
  [DASHBOARD, '/dashboard/other', 'closed'],
  [REGISTRY, '/registry/', 'closed'],
  [REGISTRY, '/registry/echo', 'closed'],
  [REGISTRY, '/registry/echo/config', 'closed'],
  ['/^\\/kafka\\/register\\//', '/kafka/register/echo', 'closed'],
  ['/^\\/kafka-init\\//', '/kafka-init/echo', 'closed'],
  ['/^\\/kafka-stop\\//', '/kafka-stop/echo', 'closed'],
];

const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined };
const nothing = (): Promise<never> => Promise.reject(new Error('not called'));
const registry = {
  list: () => [],
  upload: nothing,
  remove: nothing,
  config: nothing,
  installOf: () => undefined,
  checkLength: () => undefined,
};
const ROUTE = { handle: nothing, close: () => undefined };
const deps = () => ({
  registry,
  invoker: { invoke: nothing, debug: nothing },
  sandboxes: { create: nothing, destroy: nothing, pause: nothing, unpause: nothing, debug: nothing },
  stats: new StatsRegistry(),
  metrics: new WorkerMetrics(false),
  log: LOG,
  adminToken: '',
  functionHost: 'client' as const,
  zygotes: () => ({}),
  logs: ROUTE,
  dashboard: ROUTE,
});

/** The paths of all routes of an application. */
function routesOf(app: Express): string[] {
  const layers = app.router.stack as { route?: { path: string | RegExp } }[];
  return layers.flatMap(({ route }) => (route === undefined ? [] : [String(route.path)]));
}

test('the table contains every route', () => {
  const known = ROUTES.map(([route]) => route);
  const routes = [...routesOf(lambdaApp(deps(), nothing, new BodyRate())), ...routesOf(sockApp(deps()))];
  expect(routes.length).toBeGreaterThan(15);
  expect(routes.filter((route) => !known.includes(route))).toEqual([]);
});

test.each([...ROUTES, ['', '/create', 'closed'], ['', '/destroy/1', 'closed'], ['', '/new', 'closed']])(
  '%s: %s is %s',
  (_route, path, access) => {
    expect(accessOf(path)).toBe(access);
  },
);

describe('a worker with a token', () => {
  const token = { authorization: 'Bearer secret' };
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await startWorker({ adminToken: 'secret', zygotes: () => ({}) });
    const body = await archive({ 'f.py': 'def f(event): return event\n', 'ol.yaml': 'environment: {KEY: hidden}\n' });
    await call(worker, '/registry/echo', { method: 'POST', body, headers: token });
  });
  afterAll(() => worker.close());

  test.each(ROUTES)('%s: %s, which is %s', async (_route, path, access) => {
    for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS', 'HEAD']) {
      const bare = await call(worker, path, { method });
      expect([method, bare.status === 401]).toEqual([method, access === 'closed']);
      if (access === 'closed') expect(bare.headers['www-authenticate']).toBe('Bearer');
      const wrong = await call(worker, path, { method, headers: { authorization: 'Bearer secret2' } });
      expect(wrong.status === 401).toBe(access === 'closed');
      expect(bare.body + wrong.body).not.toMatch(/secret2|hidden/);
    }
    expect((await call(worker, path, { headers: token })).status).not.toBe(401);
  });

  test.each([
    ['bearer secret', 200],
    ['BEARER   secret', 200],
    ['Bearer Secret', 401],
    ['Bearersecret', 401],
    ['Bearer', 401],
    ['secret', 401],
    ['Basic secret', 401],
    ['Basic Bearer secret', 401],
  ])('the scheme is not case-sensitive, and the token is exact: %s', async (authorization, status) => {
    expect((await call(worker, '/stats', { headers: { authorization } })).status).toBe(status);
  });

  test.each(ROUTES)(
    '%s: foreign hosts and origins are refused on %s (%s), except for probes',
    async (_route, path, access) => {
      for (const headers of [
        { 'Sec-Fetch-Site': 'cross-site' },
        { Origin: 'http://evil.example' },
        { Origin: 'null' },
        { Host: 'evil.example:5000' },
      ]) {
        const code = 'Host' in headers ? 'HOST_REFUSED' : 'CROSS_SITE';
        const reply = await call(worker, path, { method: 'POST', headers: { ...token, ...headers } });
        const refused = [reply.status, reply.headers['x-argyle-error']];
        if (access === 'probe') expect(refused).not.toContain(code);
        else expect(refused).toEqual([403, code]);
      }
    },
  );

  test.each(ROUTES)(
    '%s: a link on another page to %s (%s) opens only functions and pages',
    async (_r, path, access) => {
      const visit = { ...token, 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate' };
      const status = async (method: string) => (await call(worker, path, { method, headers: visit })).status;
      const isOpen = access === 'call' || access === 'probe' || access === 'page';
      expect((await status('GET')) !== 403).toBe(isOpen);
      if (access !== 'probe') expect(await status('POST')).toBe(403);
    },
  );

  test.each(['/status', '/run/echo', '/registry/'])('two Host headers on %s are a bad request', async (path) => {
    for (const second of ['Host: localhost', 'hOsT: localhost', 'Host:']) {
      const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\n${second}\r\nContent-Length: 2\r\n`;
      const reply = await exchange('127.0.0.1', worker.listener.port, `${head}Connection: close\r\n\r\n{}`);
      expect(reply).toMatch(/^HTTP\/1\.1 400 [^]*X-Argyle-Error: REQUEST_INVALID[^]*more than one Host header\n$/);
    }
  });

  test.each(['//debug', '/run/../debug', '/%64ebug', 'http://localhost/debug', 'http://localhost/run/../debug'])(
    'no spelling of a closed path opens it: %s',
    async (path) => {
      const head = `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
      expect(await exchange('127.0.0.1', worker.listener.port, head)).toMatch(/^HTTP\/1\.1 (301|401|404) /);
    },
  );
});

test('/metrics requires the token when argyle.metrics_token is set', async () => {
  const worker = await startWorker({ adminToken: 'secret', access: { metricsToken: true } });
  try {
    expect((await call(worker, '/metrics')).status).toBe(401);
    expect((await call(worker, '/metrics', { headers: { authorization: 'Bearer secret' } })).status).toBe(200);
  } finally {
    await worker.close();
  }
});

test("allowed hosts and origins pass, and so do the worker's own pages", async () => {
  const worker = await startWorker({ access: { allowedHosts: 'fn.example', allowedOrigins: 'https://app.example' } });
  try {
    for (const headers of [
      { Host: 'fn.example' },
      { Origin: 'https://app.example', 'Sec-Fetch-Site': 'cross-site' },
      { Host: 'fn.example', Origin: 'https://fn.example', 'Sec-Fetch-Site': 'same-origin' },
      { 'Sec-Fetch-Site': 'none' },
    ]) {
      expect((await call(worker, '/registry/', { headers })).status).toBe(200);
    }
  } finally {
    await worker.close();
  }
});
