/** Contract, sections 1, 2 and 3: settings and end of a worker. The tests use a second worker with small queues. */
import { existsSync, writeFileSync } from 'node:fs';
import { describeContract, liveWorker, localTest } from '../support/contract-target';
import { sleep } from '../support/until';

jest.setTimeout(60_000);

/** The message for each of the original's keys with a wrong value. The strings are the contract's. */
const WRONG: [string, Record<string, unknown>, string][] = [
  ['a relative worker_dir', { worker_dir: 'x' }, 'Worker_dir cannot be relative'],
  ['no sock_base_path', { sock_base_path: '' }, 'must specify sock_base_path'],
  ['a relative sock_base_path', { sock_base_path: 'x' }, 'sock_base_path cannot be relative'],
  [
    'a small pool',
    { mem_pool_mb: 99 },
    'memPoolMb must be at least 500 (current=99, user_mem_mb=50, installer_mem_mb=250)',
  ],
  ['an unknown sandbox', { sandbox: 'x' }, "Unknown Sandbox type 'x'"],
  ['an unknown server_mode', { server_mode: 'x' }, 'unknown server_mode "x"'],
  ['docker with zygotes', { sandbox: 'docker' }, 'features.import_cache must be disabled for docker Sandbox'],
  ['an unknown import_cache', { features: { import_cache: 'x' } }, "ZygoteProvider 'x' is not implemented"],
];

describeContract('contract: settings', () => {
  const worker = liveWorker({
    config: {
      argyle: { function_queue: 2, instance_queue: 3, max_instances: 1 },
      'nobody-knows': { a: 1 },
      trace: { latency: true },
    },
  });

  localTest('3 unknown keys of config.json are ignored', async () => {
    expect(await worker.call('/status')).toMatchObject({ status: 200 });
  });

  localTest('1 a full instance_queue answers 429 `lambda instance queue is full\\n`', async () => {
    const name = await worker.deploy('busy', {
      'f.py': 'import time\n\ndef f(event):\n    time.sleep(event)\n    return 1\n',
    });
    await worker.invoke(name, 0);
    const running = worker.invoke(name, 2);
    await sleep(200);
    const replies = await Promise.all(Array.from({ length: 8 }, () => worker.call(`/run/${name}`, { method: 'GET' })));
    const full = replies.filter(({ status }) => status === 429);
    expect(full.length).toBeGreaterThan(0);
    for (const reply of full) {
      expect(reply.body).toBe('lambda instance queue is full\n');
      expect(reply.headers['retry-after']).toMatch(/^[1-9]\d*$/);
    }
    expect(replies.filter(({ status }) => status !== 429).length).toBe(3);
    expect(await running).toMatchObject({ status: 200 });
  });

  localTest('1 a full function_queue answers 429 `lambda function queue is full\\n`', async () => {
    // The function's first calls arrive while an installer searches for its missing package.
    const name = await worker.place('first', {
      'f.py': 'def f(event):\n    return 1\n',
      'requirements.txt': 'argyle-no-such-package==1.0\n',
    });
    const replies = await Promise.all(Array.from({ length: 8 }, () => worker.call(`/run/${name}`, { method: 'GET' })));
    const full = replies.filter(({ status }) => status === 429);
    expect(full).toHaveLength(6);
    for (const reply of full) {
      expect(reply.body).toBe('lambda function queue is full\n');
      expect(reply.headers['retry-after']).toMatch(/^[1-9]\d*$/);
    }
    expect(replies.filter(({ status }) => status === 500)).toHaveLength(2);
  });

  localTest.each(WRONG)("3 %s is an error with the original's message", async (_what, change, message) => {
    const file = { ...worker.dir.json('w/config.json') };
    for (const [key, value] of Object.entries(change)) {
      file[key] = key === 'features' ? { ...(file[key] as object), ...(value as object) } : value;
    }
    writeFileSync(worker.dir.path('wrong.json'), JSON.stringify(file));
    const { code, err } = await worker.dir.ol(['worker', 'check-config', 'wrong.json']);
    expect([code, err.includes(message)]).toEqual([1, true]);
  });

  localTest('3 keys match in any case', async () => {
    const file = worker.dir.json('w/config.json');
    writeFileSync(worker.dir.path('case.json'), JSON.stringify({ ...file, worker_dir: undefined, WORKER_DIR: 'x' }));
    expect((await worker.dir.ol(['worker', 'check-config', 'case.json'])).err).toContain(
      'Worker_dir cannot be relative',
    );
  });

  localTest('2 a clean stop answers waiting requests, writes stats.json, and removes pid file and socket', async () => {
    const name = await worker.deploy('last', {
      'f.py': 'import time\n\ndef f(event):\n    time.sleep(event)\n    return 1\n',
    });
    await worker.invoke(name, 0);
    const running = worker.invoke(name, 1);
    const queued = worker.invoke(name, 0);
    await sleep(300);
    expect(await worker.dir.ol(['worker', 'down', '-p', 'w'])).toMatchObject({ code: 0 });
    expect(await running).toMatchObject({ status: 200, body: '1' });
    expect((await queued).status).toBeGreaterThanOrEqual(200);
    const stats = worker.dir.json('w/worker/stats.json');
    expect(stats['LambdaFunc.Invoke.cnt']).toBeGreaterThan(0);
    for (const file of ['worker.pid', 'ol.sock']) expect(existsSync(worker.dir.path('w/worker', file))).toBe(false);
    expect(existsSync(worker.dir.path('w/worker.out'))).toBe(true);
    await expect(worker.call('/status')).rejects.toThrow(/ECONNREFUSED/);
  });
});
