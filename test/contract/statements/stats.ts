/** Contract, section 8: names of statistics, debug strings and traces, and the Kafka routes of section 1. */
import { readFileSync } from 'node:fs';
import { argyleTest, type LiveWorker, localTest } from '../../support/contract-target';
import { sleep, until } from '../../support/until';

/** The names that consumers read. An ordinary worker has used them after one call of each kind. */
const NAMES = [
  'web-request',
  'LambdaFunc.Invoke',
  'LambdaInstance-WaitSandbox',
  'LambdaInstance-ServeRequests',
  'LambdaInstance-RoundTrip',
  'pull-lambda',
  'Create()',
  'Create()/acquire-mem',
  'Destroy()',
  'Pause()',
  'Unpause()',
  'fresh-cgroup',
];

export function statsStatements(worker: LiveWorker): void {
  let name: string;
  beforeAll(async () => {
    name = await worker.deploy('stats', { 'f.py': 'def f(event):\n    return 1\n' });
    await worker.invoke(name);
    const once = await worker.deploy('once', {
      'f.py': 'def f(event):\n    return 1\n',
      'ol.yaml': 'reuse-sandbox: false\n',
    });
    await worker.invoke(once);
  });

  test.each(NAMES)('/stats has %s.cnt and .ms-avg after its first use', async (key) => {
    await until(`${key} is there`, async () => {
      await worker.invoke(name);
      // The instance is frozen meanwhile, so the next call thaws it.
      await sleep(60);
      return `${key}.cnt` in (await worker.stats());
    });
    const stats = await worker.stats();
    expect(stats[`${key}.cnt`]).toBeGreaterThan(0);
    expect(stats[`${key}.ms-avg`]).toBeGreaterThanOrEqual(0);
  });

  test('/stats has no unused name', async () => {
    expect(Object.keys(await worker.stats())).not.toContain('recursive_kill.cnt');
  });

  test('.cnt counts each request', async () => {
    const before = (await worker.stats())['LambdaFunc.Invoke.cnt'] ?? 0;
    for (let i = 0; i < 3; i++) await worker.invoke(name);
    expect((await worker.stats())['LambdaFunc.Invoke.cnt']).toBe(before + 3);
  });

  test('/debug describes each sandbox in the lines of DebugString, each followed by --------', async () => {
    await worker.invoke(name);
    const { status, body, headers } = await worker.call('/debug');
    expect([status, headers['content-type']]).toEqual([200, 'text/plain; charset=utf-8']);
    expect(body).toMatch(/--------\n\n?$/);
    const block = body.split('--------\n').find((text) => text.includes(`-${name}`)) ?? '';
    const lines = [
      /^SOCK \S+\n/,
      /^ROOT DIR: ./m,
      /^HOST DIR: ./m,
      /^CGROUP PIDS: ./m,
      /^CGROUPS: ./m,
      /^FREEZE STATE: (THAWED|FROZEN|0|1)$/m,
      /^MEMORY USED: \d+ of \d+ MB$/m,
      /^OOM KILLS: 0$/m,
    ];
    for (const line of lines) expect(block).toMatch(line);
  });

  argyleTest("MEMORY USED is the sandbox's real use, paused or not", async () => {
    const code = 'KEEP = []\n\ndef f(event):\n    KEEP.append(b"x" * (event << 20))\n    return 1\n';
    const large = await worker.deploy('large', { 'f.py': code });
    await worker.invoke(large, 20);
    await sleep(200);
    const { body } = await worker.call('/debug');
    const block = body.split('--------\n').find((text) => text.includes(`-${large}\n`)) ?? '';
    expect(block).toContain('FREEZE STATE: FROZEN');
    const usedMb = Number(/^MEMORY USED: (\d+) of 50 MB$/m.exec(block)?.[1]);
    expect(usedMb).toBeGreaterThanOrEqual(20);
    expect(usedMb).toBeLessThan(45);
  });

  localTest('dep-trace.json has JSON lines for packages, functions and invocations', async () => {
    const traced = await worker.deploy('traced', {
      'f.py': 'def f(event):\n    return 1\n',
      'requirements.txt': 'argyle-sample-tiny==1.0.0\n',
    });
    await worker.invoke(traced);
    const events = () =>
      readFileSync(worker.dir.path('w/worker/dep-trace.json'), 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    await until('the trace is written', () => events().some((e) => e['type'] === 'invocation' && e['name'] === traced));
    expect(events()).toEqual(
      expect.arrayContaining([
        { type: 'package', name: 'argyle-sample-tiny==1.0.0', deps: [], top: ['argyle_sample_tiny'] },
        { type: 'function', id: expect.any(String) as string, name: traced, deps: ['argyle-sample-tiny==1.0.0'] },
        { type: 'invocation', id: expect.any(String) as string, name: traced },
      ]),
    );
  });

  localTest('worker.out contains the lines of the worker and its functions', async () => {
    const loud = await worker.deploy('loud', { 'f.py': 'def f(event):\n    print("said aloud", flush=True)\n' });
    await worker.invoke(loud);
    const lines = () => worker.dir.read('w/worker.out').split('\n');
    await until('it is written', () => lines().some((line) => line.includes('said aloud')));
    // Each line names its function.
    expect(lines().find((line) => line.includes('said aloud'))).toContain(loud);
  });

  const KAFKA = 'triggers:\n  kafka: []\n';

  test('/kafka/register: 404 without the lambda, 400 without triggers, 405 for other methods', async () => {
    expect(await worker.call('/kafka/register/unknown', { method: 'POST' })).toMatchObject({ status: 404 });
    const lambda = await worker.deploy('no-kafka', { 'f.py': '', 'ol.yaml': KAFKA });
    const body = 'lambda has no Kafka triggers\n';
    expect(await worker.call(`/kafka/register/${lambda}`, { method: 'POST' })).toMatchObject({ status: 400, body });
    const reply = await worker.call(`/kafka/register/${lambda}`, { method: 'GET' });
    expect(reply).toMatchObject({ status: 405, body: 'method not allowed\n' });
  });

  test('DELETE /kafka/register is `Kafka consumers unregistered`', async () => {
    const lambda = await worker.deploy('was-kafka', { 'f.py': '', 'ol.yaml': KAFKA });
    const reply = await worker.call(`/kafka/register/${lambda}`, { method: 'DELETE' });
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.body)).toEqual({ status: 'success', lambda, message: 'Kafka consumers unregistered' });
  });

  argyleTest('/kafka-stop and /kafka-init of the boss are 200', async () => {
    const lambda = await worker.deploy('boss-kafka', { 'f.py': '' });
    const stop = await worker.call(`/kafka-stop/${lambda}`, { method: 'POST' });
    expect(stop.status).toBe(200);
    const init = await worker.call(`/kafka-init/${lambda}`, { method: 'POST', body: '[]' });
    expect([init.status, JSON.parse(init.body)]).toMatchObject([200, { status: 'success', lambda }]);
  });
}
