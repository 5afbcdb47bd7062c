import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import * as path from 'node:path';
import { openStore } from '../../../../src/lambda/registry/open-store';
import { Registry } from '../../../../src/lambda/registry/registry';
import type { TestWorker } from '../../../support/in-process-worker';
import { archive, call, startWorker, testIntake } from '../../../support/in-process-worker';
import { until } from '../../../support/until';

const CODE = 'def f(event): return event\n';
const DEFAULT =
  '{"Triggers":{"HTTP":[{"Method":"*"}],"Cron":null,"Kafka":null},"Environment":{},"ReuseSandbox":true}\n';

describe('/registry', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await startWorker({ maxUploadBytes: 1 << 20 });
  });
  afterAll(() => worker.close());

  const upload = async (name: string, files: Record<string, string>): ReturnType<typeof call> =>
    call(worker, `/registry/${name}`, { method: 'POST', body: await archive(files) });

  test('stores, lists, runs, describes and deletes a function', async () => {
    const stored = await upload('echo', { 'f.py': CODE });
    expect([stored.status, stored.body]).toEqual([201, 'Lambda echo uploaded successfully']);
    expect(JSON.parse((await call(worker, '/registry/')).body)).toEqual(['echo']);
    expect((await readdir(worker.registryDir)).sort()).toEqual(['echo.tar.gz', 'echo.tar.gz.attrs']);
    expect((await call(worker, '/run/echo', { method: 'POST', body: '{"a":1}' })).body).toBe('{"a": 1}');
    const config = await call(worker, '/registry/echo/config');
    expect([config.status, config.headers['content-type'], config.body]).toEqual([200, 'application/json', DEFAULT]);
    const deleted = await call(worker, '/registry/echo', { method: 'DELETE' });
    expect([deleted.status, deleted.body]).toEqual([200, 'Lambda echo deleted successfully']);
    expect(await readdir(worker.registryDir)).toEqual([]);
    expect((await call(worker, '/registry/')).body).toBe('[]\n');
    expect((await call(worker, '/registry/echo/config')).status).toBe(404);
    // The old code runs until the cache time is over.
    expect((await call(worker, '/run/echo', { method: 'POST', body: '{}' })).status).toBe(200);
  });

  test('returns the config of a function that was stored out-of-band, and does not list it', async () => {
    await worker.deploy('aside', { 'f.py': CODE, 'ol.yaml': 'reuse-sandbox: false\nenvironment: {A: 1}\n' });
    const { body } = await call(worker, '/registry/aside/config');
    expect(JSON.parse(body)).toMatchObject({ Environment: { A: '1' }, ReuseSandbox: false });
    expect(JSON.parse((await call(worker, '/registry/')).body)).not.toContain('aside');
  });

  test.each([
    ['a bad ol.yaml', { 'f.py': CODE, 'ol.yaml': '' }, 'Failed to add lambda: failed to parse ol.yaml: EOF\n'],
    [
      'a bad limit',
      { 'f.py': CODE, 'ol.yaml': 'limits: {procs: x}' },
      'Failed to add lambda: failed to parse ol.yaml: limits.procs must be a whole number from 1 to 32768, not "x"\n',
    ],
  ] as [string, Record<string, string>, string][])('%s is refused, and not listed', async (_what, files, message) => {
    const reply = await upload('bad', files);
    expect([reply.status, reply.body]).toEqual([500, message]);
    expect(JSON.parse((await call(worker, '/registry/')).body)).not.toContain('bad');
    expect(existsSync(path.join(worker.registryDir, 'bad.tar.gz'))).toBe(false);
  });

  test('refuses an upload that is not an archive', async () => {
    const reply = await call(worker, '/registry/bad', { method: 'POST', body: 'no archive' });
    expect(reply.status).toBe(500);
    expect(reply.body).toMatch(/^Failed to add lambda: cannot unpack function archive: /);
  });

  test('answers a bad name with 400', async () => {
    const reply = await call(worker, '/registry/a%20b', { method: 'POST', body: 'x' });
    expect([reply.status, reply.body]).toEqual([
      400,
      'invalid function name "a b"; must match ^[A-Za-z0-9\\.\\-\\_]+$\n',
    ]);
  });

  test('answers uploads above the limit with 413, with and without a declared length', async () => {
    const big = Buffer.alloc((1 << 20) + 1);
    for (const headers of [{ 'Content-Length': big.length }, { 'Transfer-Encoding': 'chunked' }]) {
      const reply = await call(worker, '/registry/big', { method: 'POST', headers, body: big });
      expect([reply.status, reply.body]).toEqual([413, 'the upload is larger than argyle.max_upload_mb (1 MB)\n']);
    }
    expect((await readdir(worker.dir)).filter((name) => name.startsWith('upload-'))).toEqual([]);
  });

  test('leaves nothing of an interrupted upload', async () => {
    const socket = createConnection(worker.listener.port, '127.0.0.1');
    socket.write('POST /registry/cut HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc');
    const uploads = async (): Promise<string[]> =>
      (await readdir(worker.dir)).filter((name) => name.startsWith('upload-'));
    while ((await uploads()).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    socket.destroy();
    while ((await uploads()).length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(JSON.parse((await call(worker, '/registry/')).body)).not.toContain('cut');
  });
});

describe('argyle.admin_token', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await startWorker({ adminToken: 'secret' });
  });
  afterAll(() => worker.close());

  test('is required by all routes that change or show the registry', async () => {
    const body = await archive({ 'f.py': CODE });
    for (const authorization of [undefined, 'Bearer wrong', 'secret', 'Bearer secret2']) {
      const headers = authorization === undefined ? {} : { authorization };
      const reply = await call(worker, '/registry/x', { method: 'POST', body, headers });
      expect([reply.status, reply.headers['www-authenticate']]).toEqual([401, 'Bearer']);
      expect(reply.body).not.toContain('secret');
      expect((await call(worker, '/registry/x', { method: 'DELETE', headers })).status).toBe(401);
      expect((await call(worker, '/kafka-init/x', { method: 'POST', body: '{}', headers })).status).toBe(401);
    }
    const headers = { authorization: 'Bearer secret' };
    expect((await call(worker, '/registry/x', { method: 'POST', body, headers })).status).toBe(201);
    for (const target of ['/registry/', '/registry/x/config', '/status', '/run/x']) {
      expect((await call(worker, target, { headers })).status).toBe(200);
    }
    for (const target of ['/status', '/run/x']) expect((await call(worker, target)).status).toBe(200);
    for (const target of ['/registry/', '/registry/x/config', '/debug']) {
      expect((await call(worker, target)).status).toBe(401);
    }
    expect((await call(worker, '/registry/x', { method: 'DELETE', headers })).status).toBe(200);
  });
});

test('functions of the store at the start are listed', async () => {
  const first = await startWorker();
  await first.deploy('old', { 'f.py': CODE });
  await writeFile(path.join(first.registryDir, 'other.txt'), '');
  await until('written', () => existsSync(path.join(first.registryDir, 'old.tar.gz')));
  const intake = testIntake(first.dir);
  const registry = await Registry.create(await openStore(first.registryDir), intake, 0);
  expect(registry.list()).toEqual(['old']);
  await intake.close();
  await first.close();
});
