import { SMALL_BODY_BYTES } from '../../../../src/lambda/serve/call/invocation';
import { createConnection } from 'node:net';
import { HASH, PROXY } from '../../../support/lambdas';
import { exchange } from '../../../support/raw-http';
import type { TestWorker } from '../../../support/in-process-worker';
import { call, startWorker } from '../../../support/in-process-worker';
import { until } from '../../../support/until';

describe('/run when something fails', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await startWorker();
    await worker.deploy('proxy', { 'f.py': PROXY });
    await worker.deploy('short', { 'f.py': PROXY, 'ol.yaml': 'limits: {runtime_sec: 1}\n' });
    await worker.deploy('hash', { 'f.py': HASH });
    await worker.deploy('fails', { 'f.py': 'raise ValueError("no")\n' });
  });
  afterAll(() => worker.close());

  test('a crash before the headers is 502 with the state of the sandbox', async () => {
    const reply = await call(worker, '/run/proxy/die', { method: 'POST', body: '{}' });
    expect(reply.status).toBe(502);
    expect(reply.body).toMatch(
      /^RoundTrip failed: Post "http:\/\/root\/run\/proxy\/die": EOF\n\nSandbox State: (SOCK|SANDBOX) \d+[^\n]*\n\n$/,
    );
  });

  test('a failing import is 502, and leaves nothing behind', async () => {
    const reply = await call(worker, '/run/fails');
    expect([reply.status, reply.body.slice(0, 17)]).toEqual([502, 'RoundTrip failed:']);
    await until('sandbox gone', () => ![...worker.provider.live].some((one) => one.spec.boot.name === 'fails'));
  });

  /** All bytes of an interrupted answer. */
  const wire = (path: string) =>
    exchange('127.0.0.1', worker.listener.port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);

  test('a crash after the headers is described in the body, which has no last chunk', async () => {
    const text = await wire('/run/proxy/headers-then-die');
    expect(text).toMatch(/^HTTP\/1\.1 200 [^]*\r\n5\r\nfirst\r\n[0-9a-f]+\r\nreading lambda response failed: EOF\r\n$/);
    await expect(call(worker, '/run/proxy/headers-then-die')).rejects.toThrow('aborted');
  });

  test('a crash after a followed redirect is 502 and names the place', async () => {
    const reply = await call(worker, '/run/proxy/to?302?/run/proxy/die', { method: 'POST', body: '{}' });
    expect(reply.status).toBe(502);
    expect(reply.body).toMatch(/^RoundTrip failed: Get "http:\/\/root\/run\/proxy\/die": EOF\n\nSandbox State: /);
  });

  test('limits.runtime_sec includes the redirects', async () => {
    const reply = await call(worker, '/run/short/to?307?/run/short/hang');
    expect([reply.status, reply.body.includes('awaiting headers')]).toEqual([502, true]);
  });

  test('limits.runtime_sec ends a request before headers with 502', async () => {
    const start = performance.now();
    const reply = await call(worker, '/run/short/hang');
    const elapsed = performance.now() - start;
    expect(reply.status).toBe(502);
    expect(reply.body).toMatch(
      /context deadline exceeded \(Client\.Timeout exceeded while awaiting headers\): limits\.runtime_sec is [\d.]+ s; raise it in the function's ol\.yaml, or in config\.json for all functions\n\nSandbox State: /,
    );
    expect(elapsed).toBeGreaterThan(900);
    expect(elapsed).toBeLessThan(2500);
    await until('sandbox gone', () => ![...worker.provider.live].some((one) => one.spec.boot.name === 'short'));
  });

  test('limits.runtime_sec includes the body: the text is appended, the sandbox destroyed', async () => {
    const text = await wire('/run/short/headers-then-hang');
    expect(text).toMatch(/first\r\n[0-9a-f]+\r\nreading lambda response failed: context deadline exceeded/);
    expect(text.endsWith('\r\n0\r\n\r\n')).toBe(false);
    await until('sandbox gone', () => ![...worker.provider.live].some((one) => one.spec.boot.name === 'short'));
  });

  test('a declared length shows the client that the body is incomplete', async () => {
    await expect(call(worker, '/run/short/length-then-hang')).rejects.toThrow(/aborted|ECONNRESET|hang up/);
  });

  test('a client that leaves cancels its call, and the sandbox is destroyed', async () => {
    const socket = createConnection(worker.listener.port, '127.0.0.1');
    socket.write('GET /run/proxy/hang HTTP/1.1\r\nHost: x\r\n\r\n');
    await until('request runs', () => worker.manager.counts.busy === 1);
    const before = [...worker.provider.live];
    socket.destroy();
    await until('request cancelled', () => worker.manager.counts.busy === 0);
    await until('sandbox gone', () => before.some((one) => one.life.end?.why === 'the client went away'));
  });

  test('a client that leaves while it sends a body cancels its call, too', async () => {
    const socket = createConnection(worker.listener.port, '127.0.0.1');
    socket.write(
      'POST /run/hash HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n' + 'a'.repeat(SMALL_BODY_BYTES),
    );
    await until('request runs', () => worker.manager.counts.busy === 1);
    socket.destroy();
    await until('request cancelled', () => worker.manager.counts.busy === 0);
  });
});
