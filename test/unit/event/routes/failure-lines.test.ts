/** Each 5xx that the worker makes itself is one line in its log. No other answer is logged. */
import { ArgyleError } from '../../../../src/errors';
import { archive, call, startWorker, type TestWorker } from '../../../support/in-process-worker';

const ECHO = { 'f.py': 'def f(event): return event\n' };

describe('the log of a worker', () => {
  let worker: TestWorker;
  const lines: [object, string][] = [];
  const failing = (): Promise<never> => Promise.reject(new ArgyleError('TRIGGER', 'no broker answers'));
  beforeAll(async () => {
    worker = await startWorker({
      onWarn: (fields, message) => void lines.push([fields, message]),
      packages: { ensureInstalled: () => Promise.reject(new ArgyleError('INSTALL_FAILED', 'could not install a==1')) },
      triggers: { register: failing, add: failing, unregister: failing },
    });
    await worker.deploy('echo', ECHO);
    await worker.deploy('own', { 'f.py': 'def f(event): raise ValueError("no")\n' });
    await worker.deploy('dies', { 'f.py': 'import os\ndef f(event): os._exit(3)\n' });
    await worker.deploy('needs', { ...ECHO, 'requirements.txt': 'a==1\n' });
    await worker.deploy('broken', { 'g.py': '' });
  });
  afterAll(() => worker.close());
  beforeEach(() => {
    lines.length = 0;
  });

  test.each([
    ['a function that is not there', 'POST', '/run/none', 500, 'LAMBDA_NOT_FOUND'],
    ['no function', 'POST', '/run/', 500, undefined],
    ['a pull that fails', 'POST', '/run/broken', 500, 'LAMBDA_CODE'],
    ['an install that fails', 'POST', '/run/needs', 500, 'INSTALL_FAILED'],
    ['a sandbox that ends', 'POST', '/run/dies', 502, 'SANDBOX_DEAD'],
    ['an upload that is refused', 'POST', '/registry/new', 500, 'LAMBDA_CODE'],
    ['a function that cannot be removed', 'DELETE', '/registry/none', 500, 'LAMBDA_NOT_FOUND'],
    ['what is not implemented', 'GET', '/registry/echo', 501, undefined],
    ['a trigger that fails', 'POST', '/kafka-stop/echo', 500, 'TRIGGER'],
  ])('has one line for %s', async (_what, method, path, status, code) => {
    const options = method === 'POST' ? { method, body: 'not an archive' } : { method };
    const reply = await call(worker, path, path.startsWith('/run/') ? { method, body: '{}' } : options);
    expect(reply.status).toBe(status);
    expect(lines).toHaveLength(1);
    expect(lines[0]?.[0]).toMatchObject(code === undefined ? { status } : { status, code });
    expect(lines[0]?.[0]).not.toHaveProperty('err');
  });

  test('has no line for answers of functions, and none for client errors', async () => {
    expect((await call(worker, '/run/own', { method: 'POST', body: '{}' })).status).toBe(500);
    expect((await call(worker, '/run/echo', { method: 'POST', body: '{}' })).status).toBe(200);
    expect((await call(worker, '/registry/a%20b', { method: 'DELETE' })).status).toBe(400);
    expect((await call(worker, '/nothing')).status).toBe(404);
    const body = await archive(ECHO);
    expect((await call(worker, '/registry/more', { method: 'POST', body })).status).toBe(201);
    expect(lines).toEqual([]);
  });
});
