import type { TestWorker } from '../../../support/in-process-worker';
import { exchange } from '../../../support/raw-http';
import { call, startWorker } from '../../../support/in-process-worker';

describe('the paths and plain answers of the worker', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await startWorker();
  });
  afterAll(() => worker.close());

  test.each([
    ['GET', '/status', 200, 'ready\n'],
    ['POST', '/status', 200, 'ready\n'],
    ['OPTIONS', '/status', 200, 'ready\n'],
    ['GET', '/status/', 404, '404 page not found\n'],
    ['GET', '/Status', 404, '404 page not found\n'],
    ['GET', '/', 404, '404 page not found\n'],
    ['GET', '/nope', 404, '404 page not found\n'],
    ['GET', '/zygotes', 404, '404 page not found\n'],
    ['GET', '/run/', 500, 'expected invocation format: /run/<lambda-name>'],
    ['GET', '/registry/', 200, '[]\n'],
    ['GET', '/registry/x', 501, 'not implemented\n'],
    ['PUT', '/registry/x', 405, 'method not allowed\n'],
    ['DELETE', '/registry/x', 500, 'lambda x not found\n'],
    ['GET', '/debug', 200, ''],
    ['GET', '/pprof/cpu-stop', 400, ''],
  ])('%s %s answers %d', async (method, path, status, body) => {
    const reply = await call(worker, path, { method });
    expect([reply.status, reply.body]).toEqual([status, body]);
    expect(reply.headers['x-powered-by']).toBeUndefined();
    expect(reply.headers.etag).toBeUndefined();
    if (body !== '' && path !== '/registry/') expect(reply.headers['content-type']).toBe('text/plain; charset=utf-8');
  });

  test.each([
    ['/run', '/run/'],
    ['/run?a=1', '/run/?a=1'],
    ['/registry', '/registry/'],
    ['//status', '/status'],
    ['/run/../status?q=2', '/status?q=2'],
    ['/run/a/..', '/run/'],
    ['/run/a/.', '/run/a'],
    ['/run/a//b?x=%20', '/run/a/b?x=%20'],
    ['/..', '/'],
    ['/status//', '/status/'],
    ['//nope', '/nope'],
  ])('%s is redirected to %s', async (path, location) => {
    const reply = await call(worker, path);
    expect([reply.status, reply.headers.location]).toEqual([301, location]);
    expect(reply.body).toBe(`<a href="${location}">Moved Permanently</a>.\n\n`);
    const post = await call(worker, path, { method: 'POST' });
    expect([post.status, post.headers.location, post.body]).toEqual([301, location, '']);
  });

  test('an invalid escape is a bad request', async () => {
    expect((await call(worker, '/run/%zz')).status).toBe(400);
  });

  test('only the answer to /run/ has the CORS header', async () => {
    expect((await call(worker, '/run/')).headers['access-control-allow-origin']).toBe('*');
    for (const path of ['/status', '/run/nope', '/nope', '/registry/']) {
      expect((await call(worker, path)).headers['access-control-allow-origin']).toBeUndefined();
    }
  });

  test("an unknown function and a bad name get the original's messages", async () => {
    const unknown = await call(worker, '/run/nope/more?x');
    const key = `lambda "nope" not found in blob store (bucket="file://${worker.registryDir}", key="nope.tar.gz")\n`;
    expect([unknown.status, unknown.body]).toEqual([500, key]);
    const bad = await call(worker, '/run/a%20b');
    expect(bad.body).toBe('invalid function name "a b"; must match ^[A-Za-z0-9\\.\\-\\_]+$\n');
    expect(bad.status).toBe(500);
    expect(worker.manager.size).toBe(0);
  });

  test('a target in absolute form is accepted', async () => {
    const text = await exchange(
      '127.0.0.1',
      worker.listener.port,
      'GET http://x/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    );
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*ready\n$/);
  });

  test('/stats is tab-indented JSON, and a name appears at its first use', async () => {
    await call(worker, '/run/nope');
    const { body } = await call(worker, '/stats');
    const stats = JSON.parse(body) as Record<string, number>;
    expect(body).toBe(JSON.stringify(stats, undefined, '\t'));
    expect(stats['web-request.cnt']).toBeGreaterThan(0);
    expect(Number.isInteger(stats['LambdaFunc.Invoke.ms-avg'])).toBe(true);
    expect(stats).not.toHaveProperty(['LambdaInstance-RoundTrip.cnt']);
  });

  test('/metrics limits its labels: functions that never succeeded share one label', async () => {
    await call(worker, '/run/made-up');
    const { body, headers } = await call(worker, '/metrics');
    expect(headers['content-type']).toMatch(/^text\/plain/);
    expect(body).toMatch(/argyle_requests_total\{lambda="other",code="500"\} \d/);
    expect(body).not.toContain('made-up');
    expect(body).toContain('argyle_instances{state="busy"} 0');
    expect(body).toContain('process_cpu_seconds_total');
  });

  test('profiles start once and stop once, and a heap profile is returned', async () => {
    expect((await call(worker, '/pprof/cpu-start')).status).toBe(200);
    const again = await call(worker, '/pprof/cpu-start');
    expect([again.status, again.body]).toEqual([400, 'Already started cpu profiling\n']);
    const profile = await call(worker, '/pprof/cpu-stop');
    expect(JSON.parse(profile.body)).toHaveProperty('nodes');
    expect((await call(worker, '/pprof/cpu-stop')).status).toBe(400);
    expect(JSON.parse((await call(worker, '/pprof/mem')).body)).toHaveProperty('head');
  });
});
