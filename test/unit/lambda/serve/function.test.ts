import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ArgyleError } from '../../../../src/errors';
import type { TestWorker, WorkerOptions } from '../../../support/in-process-worker';
import { call, startWorker } from '../../../support/in-process-worker';
import { until } from '../../../support/until';

const PID = 'import os, time\ndef f(event):\n    time.sleep(event.get("s", 0))\n    return [os.getpid(), VERSION]\n';
const version = (n: number): string => `VERSION = ${n}\n${PID}`;

const CRASHY =
  'import os, time\ndef f(event):\n    time.sleep(0.05)\n    if event.get("die"): os._exit(1)\n    return "ok"\n';

function post(worker: TestWorker, name: string, event: object = {}, method = 'POST'): ReturnType<typeof call> {
  return call(worker, `/run/${name}`, { method, body: JSON.stringify(event) });
}

/** Kills a process and waits for its death. Node's event loop does not notice the death meanwhile. */
function killUnnoticed(pid: number): void {
  process.kill(pid, 'SIGKILL');
  while (!/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')));
}

describe('a function', () => {
  let worker: TestWorker;
  async function start(options: WorkerOptions = {}): Promise<void> {
    worker = await startWorker(options);
  }
  afterEach(() => worker.close());

  test('uses one instance for consecutive requests, and pauses the instance when it is idle', async () => {
    await start();
    await worker.deploy('f', { 'f.py': version(1) });
    const first = await post(worker, 'f');
    const [sandbox] = [...worker.provider.live];
    await until('paused', () => sandbox?.frozen === true);
    expect(worker.manager.counts).toMatchObject({ paused: 1, idle: 0, busy: 0 });
    expect((await post(worker, 'f')).body).toBe(first.body);
    expect(worker.provider.created).toBe(1);
    const stats = worker.stats.snapshot();
    expect(stats).toMatchObject({ 'pull-lambda.cnt': 1, 'LambdaInstance-RoundTrip.cnt': 2, 'web-request.cnt': 2 });
    expect(stats['LambdaInstance-WaitSandbox-Unpause.cnt']).toBe(1);
    expect(stats['LambdaInstance-WaitSandbox-NoImportCache.cnt']).toBe(1);
  });

  test('is not charged for the time that a paused sandbox waits for memory', async () => {
    await start({ settings: { pauseAfterMs: -1 } });
    await worker.deploy('f', { 'f.py': version(1), 'ol.yaml': 'limits: {runtime_sec: 1}\n' });
    const first = await post(worker, 'f');
    const [sandbox] = [...worker.provider.live];
    if (sandbox === undefined) throw new Error('no sandbox');
    await sandbox.pause();
    sandbox.resumeMs = 1300;
    expect(worker.manager.counts).toMatchObject({ paused: 1, idle: 0 });
    const second = await post(worker, 'f');
    expect([second.status, second.body]).toEqual([200, first.body]);
    expect(worker.stats.snapshot()['LambdaInstance-WaitSandbox-Unpause.cnt']).toBe(1);
  });

  test('keeps its manager busy during a request, and reports the end of every request', async () => {
    let ended = 0;
    await start({ onEnded: () => ended++ });
    await worker.deploy('f', { 'f.py': version(1) });
    const answer = post(worker, 'f', { s: 0.2 });
    await until('it runs', () => worker.manager.counts.busy === 1);
    expect([worker.manager.isBusy, ended]).toEqual([true, 0]);
    expect((await answer).status).toBe(200);
    await until('it has ended', () => !worker.manager.isBusy);
    expect(ended).toBe(1);
    expect((await post(worker, 'nobody')).status).toBe(500);
    expect(ended).toBe(2);
  });

  test('gets instances for a burst at once, up to max_instances', async () => {
    await start({ settings: { maxInstances: 3 } });
    await worker.deploy('f', { 'f.py': version(1) });
    const replies = await Promise.all(Array.from({ length: 9 }, () => post(worker, 'f', { s: 0.5 })));
    expect(replies.map(({ status }) => status)).toEqual(Array(9).fill(200));
    expect(new Set(replies.map(({ body }) => body)).size).toBe(3);
    expect(worker.provider.created).toBe(3);
  });

  test('with reuse-sandbox false gets a fresh sandbox for each call, and loses no call', async () => {
    await start();
    await worker.deploy('f', { 'f.py': version(1), 'ol.yaml': 'reuse-sandbox: false\n' });
    const replies = await Promise.all(Array.from({ length: 10 }, () => post(worker, 'f')));
    expect(replies.map(({ status }) => status)).toEqual(Array(10).fill(200));
    expect(new Set(replies.map(({ body }) => body)).size).toBe(10);
    await until('all gone', () => worker.provider.live.size === 0);
  });

  test('that crashes loses no waiting request', async () => {
    await start({ settings: { maxInstances: 1 } });
    await worker.deploy('f', { 'f.py': CRASHY });
    const events = Array.from({ length: 8 }, (_, i) => ({ die: i % 3 === 0 }));
    const replies = await Promise.all(events.map((event) => post(worker, 'f', event)));
    expect(replies.map(({ status }) => status)).toEqual(events.map(({ die }) => (die ? 502 : 200)));
  });

  test('whose idle instance died or was evicted uses another one', async () => {
    await start();
    await worker.deploy('f', { 'f.py': version(1) });
    for (const end of ['SIGKILL', 'evict'] as const) {
      await post(worker, 'f');
      const [sandbox] = [...worker.provider.live];
      await until('paused', () => sandbox?.frozen === true);
      if (end === 'SIGKILL') killUnnoticed(sandbox?.pid ?? 0);
      else await sandbox?.destroy('evicted');
      const reply = await post(worker, 'f');
      expect(reply.status).toBe(200);
    }
  });

  test('answers 429 when its queues are full', async () => {
    await start({ settings: { maxInstances: 1, instanceQueue: 2 } });
    await worker.deploy('f', { 'f.py': version(1) });
    await post(worker, 'f');
    const replies = await Promise.all(Array.from({ length: 5 }, () => post(worker, 'f', { s: 0.3 })));
    const full = replies.filter(({ status }) => status === 429);
    expect(full.map(({ body }) => body)).toEqual(Array(2).fill('lambda instance queue is full\n'));
    expect(full[0]?.headers['retry-after']).toBe('1');
    await worker.close();

    let release: () => void = () => undefined;
    const installed = new Promise<void>((resolve) => (release = resolve));
    const packages = { ensureInstalled: () => installed.then(() => []) };
    await start({ settings: { functionQueue: 2 }, packages });
    await worker.deploy('f', { 'f.py': version(1), 'requirements.txt': 'x==1\n' });
    const waiting = [post(worker, 'f'), post(worker, 'f')];
    await until('two wait', () => worker.manager.counts.queued === 2);
    const third = await post(worker, 'f');
    expect([third.status, third.body]).toEqual([429, 'lambda function queue is full\n']);
    release();
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200]);
  });

  test('refuses methods that ol.yaml does not name, in its order', async () => {
    await start();
    const yaml = 'triggers:\n  http:\n    - method: GET\n    - method: POST\n';
    await worker.deploy('f', { 'f.py': version(1), 'ol.yaml': yaml });
    const reply = await post(worker, 'f', {}, 'PUT');
    expect([reply.status, reply.body]).toEqual([405, 'HTTP method not allowed. Sent: PUT, Allowed: [GET POST]\n']);
    expect(reply.headers.allow).toBeUndefined();
    expect((await post(worker, 'f')).status).toBe(200);
    await worker.deploy('none', { 'f.py': version(1), 'ol.yaml': 'triggers:\n  http: []\n' });
    expect((await post(worker, 'none')).body).toBe('HTTP method not allowed. Sent: POST, Allowed: []\n');
  });

  test('reports why a package could not be installed', async () => {
    const error = new ArgyleError('INSTALL_FAILED', 'pip could not install nope==1');
    await start({ packages: { ensureInstalled: () => Promise.reject(error) } });
    await worker.deploy('f', { 'f.py': version(1), 'requirements.txt': 'nope==1\n' });
    const reply = await post(worker, 'f');
    expect([reply.status, reply.body]).toEqual([500, 'pip could not install nope==1\n']);
    expect(reply.headers['x-argyle-error']).toBe('INSTALL_FAILED');
    expect(await readdir(path.join(worker.dir, 'code'))).toEqual([]);
  });

  test("whose sandbox cannot be made answers with the original's message", async () => {
    await start();
    await worker.deploy('f', { 'f.py': version(1) });
    worker.provider.failure = new ArgyleError('MEMORY_EXHAUSTED', 'no memory left');
    const replies = await Promise.all([post(worker, 'f'), post(worker, 'f'), post(worker, 'f')]);
    for (const reply of replies) {
      expect([reply.status, reply.body]).toEqual([500, 'could not create Sandbox: no memory left\n\n']);
    }
    worker.provider.failure = undefined;
    expect((await post(worker, 'f')).status).toBe(200);
  });

  test("gets its environment from ol.yaml, else from the archive's .env, and its own limits", async () => {
    await start();
    const env = 'import os\ndef f(event): return {k: v for k, v in os.environ.items() if k[:2] == "X_"}\n';
    const yaml = 'environment: {X_A: 1.10, X_B: "it\'s", X_C: yes}\nlimits: {mem_mb: 77, procs: 3, runtime_sec: 2}\n';
    await worker.deploy('yaml', { 'f.py': env, 'ol.yaml': yaml, '.env': 'X_D=4\n' });
    await worker.deploy('own', { 'f.py': env, '.env': 'X_D="four"\n' });
    expect(JSON.parse((await post(worker, 'yaml')).body)).toEqual({ X_A: '1.10', X_B: "it's", X_C: 'yes' });
    const [sandbox] = [...worker.provider.live];
    expect(sandbox?.limits).toEqual({ memMb: 77, procs: 3, cpuPercent: 100, swapBytes: 0, scratchMb: 64 });
    expect(JSON.parse((await post(worker, 'own')).body)).toEqual({ X_D: 'four' });
  });

  test('is traced: function, then each invocation', async () => {
    const specs = [
      { spec: 'a==1', modules: ['a'] },
      { spec: 'b==2', modules: ['b'] },
    ];
    await start({ packages: { ensureInstalled: () => Promise.resolve(specs) } });
    await worker.deploy('f', { 'f.py': version(1), 'requirements.txt': 'a==1\nb==2\n' });
    await post(worker, 'f');
    await post(worker, 'f');
    const [sandbox] = [...worker.provider.live];
    expect(sandbox?.spec.boot.sys_path).toEqual(['/packages/b==2/files', '/packages/a==1/files']);
    expect(sandbox?.spec.packages).toEqual(specs);
    await sleep(50);
    const lines = (await readFile(path.join(worker.dir, 'dep-trace.json'), 'utf8')).trim().split('\n');
    const id = path.join(worker.dir, 'code', '1-f');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { type: 'function', id, name: 'f', deps: ['a==1', 'b==2'] },
      { type: 'invocation', id, name: 'f' },
      { type: 'invocation', id, name: 'f' },
    ]);
  });

  test('is described by /debug with each instance, also while busy', async () => {
    await start();
    await worker.deploy('f', { 'f.py': version(1) });
    const running = post(worker, 'f', { s: 0.5 });
    await until('runs', () => worker.manager.counts.busy === 1);
    expect((await call(worker, '/debug')).body).toBe('SOCK 1\n--------\n');
    await running;
  });

  test('drops the request of a client that leaves the queue', async () => {
    await start({ settings: { maxInstances: 1 } });
    await worker.deploy('f', { 'f.py': version(1) });
    await post(worker, 'f');
    const running = post(worker, 'f', { s: 0.4 });
    await until('runs', () => worker.manager.counts.busy === 1);
    const signal = AbortSignal.timeout(100);
    await expect(call(worker, '/run/f', { signal })).rejects.toThrow();
    await until('queue empty', () => worker.manager.counts.queued === 0);
    expect((await running).status).toBe(200);
    expect(worker.stats.snapshot()['LambdaInstance-RoundTrip.cnt']).toBe(2);
  });
});
