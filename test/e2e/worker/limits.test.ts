/** Limits, pause and kill as the kernel enforces them, on the cgroup version of this host. */
import { existsSync } from 'node:fs';
import { deploy, invoke } from '../../support/deploy';
import { debug } from '../../support/reports';
import { E2eWorker, ROOT_ZYGOTE } from '../../support/spawned-worker';
import { until } from '../../support/until';
import { describePrivileged } from '../../support/privileged';

const VM = process.env['ARGYLE_VM'] === '1';
jest.setTimeout(VM ? 600_000 : 120_000);

const CPU = `import os, time

def f(event):
    start, used = time.monotonic(), time.process_time()
    while time.monotonic() - start < event["sec"]:
        pass
    return (time.process_time() - used) / (time.monotonic() - start)
`;

describePrivileged('limits', () => {
  const worker = new E2eWorker({
    config: {
      limits: { procs: 12, mem_mb: 60, runtime_sec: VM ? 120 : 20 },
      ...ROOT_ZYGOTE,
      argyle: { pause_after_ms: 50 },
    },
  });

  beforeAll(async () => {
    await worker.init();
    await worker.up();
  });
  afterAll(() => worker.remove());

  it('kill a handler above its memory limit, and the next request is served', async () => {
    await deploy(worker.url, 'bad/fills-memory');
    const answer = await invoke(worker.url, 'fills-memory', {});
    expect(answer.status).toBe(502);
    expect(answer.body).toMatch(/^RoundTrip failed: [\s\S]*\n\nSandbox State: /);
    // cgroup v2 kills the whole group and may count more than one kill.
    expect(answer.body).toMatch(/^OOM KILLS: [1-9]/m);
    await deploy(worker.url, 'echo');
    expect((await invoke(worker.url, 'echo', 5)).body.trim()).toBe('5');
  });

  it('bound the number of processes of a fork bomb', async () => {
    await deploy(worker.url, 'bad/fork-bomb');
    const answer = await invoke(worker.url, 'fork-bomb', { sec: 1 });
    expect(answer.status).toBe(200);
    const { started, refused } = JSON.parse(answer.body) as { started: number; refused: number };
    expect(started).toBeLessThan(12);
    expect(refused).toBeGreaterThan(0);
    const most = [...(await debug(worker.url)).matchAll(/CGROUP PIDS: (\d+)/g)];
    for (const match of most) expect(Number(match[1])).toBeLessThanOrEqual(12);
  });

  it('bound the processor time', async () => {
    await deploy(worker.url, { 'f.py': CPU, 'ol.yaml': 'limits:\n  cpu_percent: 30\n' }, 'cpu');
    const share = Number((await invoke(worker.url, 'cpu', { sec: 2 })).body);
    expect(share).toBeGreaterThan(0.01);
    expect(share).toBeLessThan(0.5);
  });

  it('an idle instance is frozen, and is thawed for the next request', async () => {
    const code =
      'import threading, time\nn = [0]\n\ndef count():\n    while True:\n        n[0] += 1\n        time.sleep(0.01)\n\nthreading.Thread(target=count, daemon=True).start()\n\ndef f(event):\n    return n[0]\n';
    await deploy(worker.url, { 'f.py': code }, 'ticks');
    const first = Number((await invoke(worker.url, 'ticks', {})).body);
    await until('frozen', async () => (await debug(worker.url)).includes('FROZEN'));
    await new Promise((done) => setTimeout(done, 2000));
    const second = Number((await invoke(worker.url, 'ticks', {})).body);
    expect(second).toBeGreaterThanOrEqual(first);
    expect(second - first).toBeLessThan(100);
  });

  it('leave no process of a killed sandbox', async () => {
    await deploy(worker.url, 'bad/leaves-processes');
    expect((await invoke(worker.url, 'leaves-processes', {})).status).toBe(200);
    await deploy(worker.url, 'bad/exits');
    expect((await invoke(worker.url, 'exits', {})).status).toBe(502);
    const pids = worker.guests().map((p) => p.pid);
    await worker.down();
    await until('gone', () => pids.every((pid) => !existsSync(`/proc/${pid}`)));
    expect(worker.cgroups()).toEqual([]);
  });
});
