/** Contract, section 1: paths, plain answers, and routes of both server modes. */
import * as http from 'node:http';
import { statSync } from 'node:fs';
import { argyleTest, type LiveWorker, localTest, replyOf } from '../../support/contract-target';

export function pathStatements(worker: LiveWorker): void {
  test.each(['/', '/nope', '/statusx', '/Status', '/run2/x', '/kafka', '/debug/x', '/pprof', '/pprof/other'])(
    'unknown path %s is 404 `404 page not found\\n`',
    async (path) => {
      expect(await worker.call(path)).toMatchObject({ status: 404, body: '404 page not found\n' });
    },
  );

  test('/status/ is 404', async () => {
    expect(await worker.call('/status/')).toMatchObject({ status: 404, body: '404 page not found\n' });
  });

  test.each(['/run', '/registry'])('%s is 301 to the path with a slash and the query', async (path) => {
    for (const method of ['GET', 'POST']) {
      const reply = await worker.call(`${path}?a=b`, { method });
      expect(reply).toMatchObject({ status: 301, headers: { location: `${path}/?a=b` } });
    }
  });

  test.each([
    ['//status', '/status'],
    ['/status/../stats', '/stats'],
    ['/run//x', '/run/x'],
    ['/run/./x/', '/run/x/'],
    ['/run/x/../y?q=/../', '/run/y?q=/../'],
    ['/..//registry/x/', '/registry/x/'],
  ])('%s is 301 to the cleaned path %s', async (path, location) => {
    expect(await worker.call(path)).toMatchObject({ status: 301, headers: { location } });
  });

  test.each(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])(
    '/status answers %s with `ready\\n` as text/plain; charset=utf-8: methods are ignored',
    async (method) => {
      const reply = await worker.call('/status', { method });
      expect(reply).toMatchObject({ status: 200, body: 'ready\n' });
      expect(reply.headers['content-type']).toBe('text/plain; charset=utf-8');
    },
  );

  test('HEAD /status has the headers of GET and no body', async () => {
    expect(await worker.call('/status', { method: 'HEAD' })).toMatchObject({
      status: 200,
      body: '',
      headers: { 'content-length': '6' },
    });
  });

  test('/stats is tab-indented JSON with integer values', async () => {
    await worker.call('/run/unknown-function');
    const { status, body } = await worker.call('/stats');
    expect(status).toBe(200);
    const values = JSON.parse(body) as Record<string, number>;
    expect(body.trimEnd()).toBe(JSON.stringify(values, null, '\t'));
    expect(Object.keys(values).length).toBeGreaterThan(0);
    for (const value of Object.values(values)) expect(Number.isInteger(value)).toBe(true);
  });

  test('/pprof/mem is binary and a heap profile', async () => {
    const { status, headers, bytes } = await worker.call('/pprof/mem');
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('application/octet-stream');
    expect(bytes.length).toBeGreaterThan(100);
  });

  test('/pprof/cpu-start is 200 and empty, then 400; cpu-stop is binary, then 400 and empty', async () => {
    expect(await worker.call('/pprof/cpu-start')).toMatchObject({ status: 200, body: '' });
    expect(await worker.call('/pprof/cpu-start')).toMatchObject({
      status: 400,
      body: 'Already started cpu profiling\n',
    });
    const stopped = await worker.call('/pprof/cpu-stop');
    expect(stopped).toMatchObject({ status: 200, headers: { 'content-type': 'application/octet-stream' } });
    expect(stopped.bytes.length).toBeGreaterThan(100);
    expect(await worker.call('/pprof/cpu-stop')).toMatchObject({ status: 400, body: '' });
  });

  argyleTest('/pprof answers in the formats of the developer tools', async () => {
    expect(JSON.parse((await worker.call('/pprof/mem')).body)).toMatchObject({ head: { callFrame: {} } });
    await worker.call('/pprof/cpu-start');
    const cpu = JSON.parse((await worker.call('/pprof/cpu-stop')).body) as object;
    expect(cpu).toMatchObject({ nodes: expect.any(Array) as unknown, samples: expect.any(Array) as unknown });
  });

  localTest('<worker_dir>/ol.sock (0600) serves only /pid, with `<pid>\\n`', async () => {
    const socketPath = worker.dir.path('w/worker/ol.sock');
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
    const ask = (path: string) => {
      const request = http.request({ socketPath, path, agent: false });
      const reply = replyOf(request);
      request.end();
      return reply;
    };
    expect(await ask('/pid')).toMatchObject({ status: 200, body: `${worker.pid}\n` });
    expect(await ask('/status')).toMatchObject({ status: 404, body: '404 page not found\n' });
  });

  test('client keep-alive works', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ports: (number | undefined)[] = [];
    for (let i = 0; i < 3; i++) {
      const request = worker.open('/status', { agent });
      request.on('socket', (socket) => {
        if (socket.connecting) socket.once('connect', () => ports.push(socket.localPort));
        else ports.push(socket.localPort);
      });
      const reply = replyOf(request);
      request.end();
      expect(await reply).toMatchObject({ status: 200 });
    }
    agent.destroy();
    expect(new Set(ports).size).toBe(1);
  });
}
