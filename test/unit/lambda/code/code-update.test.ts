import { existsSync } from 'node:fs';
import { readdir, utimes } from 'node:fs/promises';
import * as path from 'node:path';
import type { TestWorker, WorkerOptions } from '../../../support/in-process-worker';
import { archive, call, startWorker } from '../../../support/in-process-worker';
import { until } from '../../../support/until';

const PID = 'import os, time\ndef f(event):\n    time.sleep(event.get("s", 0))\n    return [os.getpid(), VERSION]\n';
const version = (n: number): string => `VERSION = ${n}\n${PID}`;

function post(worker: TestWorker, name: string, event: object = {}, method = 'POST'): ReturnType<typeof call> {
  return call(worker, `/run/${name}`, { method, body: JSON.stringify(event) });
}

describe('the code of a function', () => {
  let worker: TestWorker;
  async function start(options: WorkerOptions = {}): Promise<void> {
    worker = await startWorker(options);
  }
  afterEach(() => worker.close());

  test('runs new code after the cache time; old instances and their code end after their request', async () => {
    await start({ settings: { registryCacheMs: 60_000 } });
    await worker.deploy('f', { 'f.py': version(1) });
    const [, one] = JSON.parse((await post(worker, 'f')).body) as [number, number];
    await worker.deploy('f', { 'f.py': version(2), 'ol.yaml': 'triggers: {http: [{method: POST}]}\n' });
    const [, still] = JSON.parse((await post(worker, 'f')).body) as [number, number];
    expect([one, still]).toEqual([1, 1]);
    const long = post(worker, 'f', { s: 0.8 });
    await until('runs', () => worker.manager.counts.busy === 1);
    worker.advance(60_000);
    // A refused request also pulls the new code.
    expect((await post(worker, 'f', {}, 'PUT')).status).toBe(405);
    expect(existsSync(path.join(worker.dir, 'code', '1-f'))).toBe(true);
    expect(JSON.parse((await post(worker, 'f')).body)).toMatchObject({ 1: 2 });
    expect(JSON.parse((await long).body)).toMatchObject({ 1: 1 });
    await until('old code gone', () => !existsSync(path.join(worker.dir, 'code', '1-f')));
    expect(await readdir(path.join(worker.dir, 'code'))).toEqual(['2-f']);
    expect(worker.provider.live.size).toBe(1);
  });

  test('keeps its instances when the registry has unchanged code', async () => {
    await start({ settings: { registryCacheMs: 60_000 } });
    await worker.deploy('f', { 'f.py': version(1) });
    const first = await post(worker, 'f');
    worker.advance(60_000);
    expect((await post(worker, 'f')).body).toBe(first.body);
    await utimes(path.join(worker.registryDir, 'f.tar.gz'), new Date(), new Date(Date.now() + 5000));
    // The registry has just been asked. The check of unchanged code restarts the time, so later requests do not ask
    // again.
    worker.advance(59_000);
    expect((await post(worker, 'f')).body).toBe(first.body);
    worker.advance(1000);
    expect((await post(worker, 'f')).body).not.toBe(first.body);
  });

  test('that is unusable answers 500 despite old code, and is pulled again at the next call', async () => {
    await start({ settings: { registryCacheMs: 0 } });
    await worker.deploy('f', { 'f.py': version(1) });
    expect((await post(worker, 'f')).status).toBe(200);
    await worker.deploy('f', { 'f.py': version(2), 'ol.yaml': '# nothing\n' });
    for (let i = 0; i < 2; i++) {
      const reply = await post(worker, 'f');
      expect([reply.status, reply.body]).toEqual([500, 'failed to parse ol.yaml: EOF\n']);
    }
    await worker.deploy('f', { 'g.py': '' });
    expect((await post(worker, 'f')).body).toMatch(
      /^cannot determine runtime: no f.py or f.bin found in .*\/code\/\d+-f\n$/,
    );
    await worker.deploy('f', { 'main.py': '' });
    expect((await post(worker, 'f')).body).toMatch(
      /^cannot determine runtime: no f.py or f.bin found in \S+; to run main.py, write into ol.yaml: environment: \{ OL_ENTRY_FILE: main.py \}\n$/,
    );
    await worker.deploy('f', { 'f.py': version(3) });
    expect(JSON.parse((await post(worker, 'f')).body)).toMatchObject({ 1: 3 });
    await until('only the used code is left', () => worker.provider.live.size === 1);
    expect(await readdir(path.join(worker.dir, 'code'))).toHaveLength(1);
  });

  test('that the registry no longer has answers 500 and is forgotten with its instances', async () => {
    await start({ settings: { registryCacheMs: 0 } });
    await worker.deploy('f', { 'f.py': version(1) });
    await post(worker, 'f');
    await call(worker, '/registry/f', { method: 'DELETE' });
    expect((await post(worker, 'f')).body).toContain('lambda "f" not found in blob store');
    await until('forgotten', () => worker.manager.size === 0 && worker.provider.live.size === 0);
    await until('code gone', () => !existsSync(path.join(worker.dir, 'code', '1-f')));
  });

  test('that was deleted runs for the cache time, and is then forgotten without a call', async () => {
    await start({ settings: { registryCacheMs: 60_000 } });
    await worker.deploy('f', { 'f.py': version(1) });
    await post(worker, 'f');
    expect((await call(worker, '/registry/f', { method: 'DELETE' })).status).toBe(200);
    expect((await post(worker, 'f')).status).toBe(200);
    const long = post(worker, 'f', { s: 2 });
    await until('runs', () => worker.manager.counts.busy === 1);
    await post(worker, 'f');
    worker.advance(60_000);
    await until('the idle instance is gone', () => worker.provider.live.size === 1);
    expect((await long).status).toBe(200);
    await until('forgotten', () => worker.manager.size === 0 && worker.provider.live.size === 0);
    await until('code gone', () => !existsSync(path.join(worker.dir, 'code', '1-f')));
  });

  test('that was deleted and uploaded again is kept', async () => {
    await start({ settings: { registryCacheMs: 60_000 } });
    await worker.deploy('f', { 'f.py': version(1) });
    const [pid] = JSON.parse((await post(worker, 'f')).body) as [number];
    await call(worker, '/registry/f', { method: 'DELETE' });
    await call(worker, '/registry/f', { method: 'POST', body: await archive({ 'f.py': version(2) }) });
    expect((await post(worker, 'f')).body).toBe(`[${pid}, 1]`);
    worker.advance(60_000);
    await until('the new code is pulled', () => existsSync(path.join(worker.dir, 'code', '2-f/f.py')));
    await until('the old code is gone', () => !existsSync(path.join(worker.dir, 'code', '1-f')));
    expect(JSON.parse((await post(worker, 'f')).body)).toMatchObject({ 1: 2 });
  });

  test.each(['before its code is read', 'while its packages are installed'])(
    'is current at the call after an upload with fresh=1, also %s',
    async (when) => {
      let install: () => void = () => undefined;
      const held = new Promise<void>((resolve) => (install = resolve));
      await start({ settings: { registryCacheMs: 60_000 }, packages: { ensureInstalled: () => held.then(() => []) } });
      const put = async (n: number, files = {}) =>
        call(worker, '/registry/f?fresh=1', { method: 'POST', body: await archive({ 'f.py': version(n), ...files }) });
      await put(1, { 'requirements.txt': 'six==1.16.0\n' });
      const first = post(worker, 'f');
      if (when.startsWith('before')) install();
      else await until('it is unpacked', () => existsSync(path.join(worker.dir, 'code', '1-f/f.py')));
      if (when.startsWith('before')) await first;
      await put(2);
      const next = post(worker, 'f');
      install();
      expect(JSON.parse((await next).body)).toMatchObject({ 1: 2 });
      expect((await first).status).toBe(200);
    },
  );

  test('that is pulled while the worker stops is removed', async () => {
    let install: (() => void) | undefined;
    const held = new Promise<void>((resolve) => (install = resolve));
    const ensureInstalled = async (): Promise<[]> => {
      await held;
      return [];
    };
    await start({ packages: { ensureInstalled } });
    await worker.deploy('f', { 'f.py': version(1), 'requirements.txt': 'six==1.16.0\n' });
    const code = path.join(worker.dir, 'code');
    const asked = post(worker, 'f');
    await until('it is unpacked', () => existsSync(path.join(code, '1-f/f.py')));
    const closed = worker.manager.close(0);
    install?.();
    await closed;
    expect(await readdir(code)).toEqual([]);
    expect((await asked).status).toBe(503);
  });

  test('is removed by a stop, which answers waiting requests and lets the running one end', async () => {
    await start({ settings: { maxInstances: 1 } });
    await worker.deploy('f', { 'f.py': version(1) });
    await post(worker, 'f');
    const running = post(worker, 'f', { s: 0.5 });
    await until('runs', () => worker.manager.counts.busy === 1);
    const queued = post(worker, 'f');
    await until('queued', () => worker.manager.counts.queued === 1);
    const closed = worker.manager.close(3000);
    const late = await post(worker, 'f');
    expect([late.status, late.body]).toEqual([503, 'the worker is shutting down\n']);
    expect((await queued).status).toBe(503);
    expect((await running).status).toBe(200);
    await closed;
    expect(worker.provider.live.size).toBe(0);
    expect(await readdir(path.join(worker.dir, 'code'))).toEqual([]);
  });

  test('is removed by a stop, which waits at most its grace time for a hanging request', async () => {
    await start();
    await worker.deploy('f', { 'f.py': version(1) });
    const hanging = post(worker, 'f', { s: 20 });
    await until('runs', () => worker.manager.counts.busy === 1);
    const begin = performance.now();
    await worker.manager.close(200);
    expect(performance.now() - begin).toBeLessThan(2000);
    expect((await hanging).status).toBe(503);
  });
});
