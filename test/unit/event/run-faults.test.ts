import { SMALL_BODY_BYTES } from '../../../src/lambda/invocation';
import { createConnection } from 'node:net';
import { HASH, PROXY } from '../../support/lambdas';
import type { TestWorker } from '../../support/worker';
import { call, startWorker } from '../../support/worker';
import { until } from '../../support/until';

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

  test('a crash before headers is 502 with the state of the sandbox', async () => {
    const reply = await call(worker, '/run/proxy/die', { method: 'POST', body: '{}' });
    expect(reply.status).toBe(502);
    expect(reply.body).toMatch(
      /^RoundTrip failed: Post "http:\/\/root\/run\/proxy\/die": EOF\n\nSandbox State: (SOCK|SANDBOX) \d+[^\n]*\n$/,
    );
  });

  test('a failing import is 502, and nothing is left', async () => {
    const reply = await call(worker, '/run/fails');
    expect([reply.status, reply.body.slice(0, 17)]).toEqual([502, 'RoundTrip failed:']);
    await until('sandbox gone', () => ![...worker.provider.live].some((one) => one.spec.boot.name === 'fails'));
  });

  test('a crash after headers is told in the body', async () => {
    const reply = await call(worker, '/run/proxy/headers-then-die');
    expect([reply.status, reply.body]).toEqual([200, 'firstreading lambda response failed: EOF']);
  });

  test('limits.runtime_sec ends a request before headers with 502', async () => {
    const start = performance.now();
    const reply = await call(worker, '/run/short/hang');
    const elapsed = performance.now() - start;
    expect(reply.status).toBe(502);
    expect(reply.body).toContain('context deadline exceeded (Client.Timeout exceeded while awaiting headers)');
    expect(elapsed).toBeGreaterThan(900);
    expect(elapsed).toBeLessThan(2500);
    await until('sandbox gone', () => ![...worker.provider.live].some((one) => one.spec.boot.name === 'short'));
  });

  test('limits.runtime_sec covers the body: the text is appended, the sandbox destroyed', async () => {
    const reply = await call(worker, '/run/short/headers-then-hang');
    expect(reply.body).toMatch(/^firstreading lambda response failed: context deadline exceeded/);
    await until('sandbox gone', () => ![...worker.provider.live].some((one) => one.spec.boot.name === 'short'));
  });

  test('where a length was declared, the client sees that the body is cut', async () => {
    await expect(call(worker, '/run/short/length-then-hang')).rejects.toThrow(/aborted|ECONNRESET|hang up/);
  });

  test('a client that goes away cancels: the sandbox is destroyed', async () => {
    const socket = createConnection(worker.listener.port, '127.0.0.1');
    socket.write('GET /run/proxy/hang HTTP/1.1\r\nHost: x\r\n\r\n');
    await until('request runs', () => worker.manager.counts.busy === 1);
    const before = [...worker.provider.live];
    socket.destroy();
    await until('request cancelled', () => worker.manager.counts.busy === 0);
    await until('sandbox gone', () => before.some((one) => one.dead === 'the client went away'));
  });

  test('a client that goes away while it sends a body cancels too', async () => {
    const socket = createConnection(worker.listener.port, '127.0.0.1');
    socket.write(
      'POST /run/hash HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n' + 'a'.repeat(SMALL_BODY_BYTES),
    );
    await until('request runs', () => worker.manager.counts.busy === 1);
    socket.destroy();
    await until('request cancelled', () => worker.manager.counts.busy === 0);
  });
});
