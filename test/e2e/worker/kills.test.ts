/**
 * kill -9 of each process in the middle of requests. Each request gets the right answer or a clear error. No request
 * hangs, and no process, mount or cgroup remains.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deploy } from '../../support/deploy';
import { E2eWorker, ROOT_ZYGOTE, processes, type Process } from '../../support/spawned-worker';
import { until } from '../../support/until';
import { describePrivileged } from '../../support/privileged';

const VM = process.env['ARGYLE_VM'] === '1';
jest.setTimeout(VM ? 600_000 : 120_000);

const SLOW = 'import time\n\ndef f(event):\n    time.sleep(event.get("sec", 0.3))\n    return "done"\n';
const HANG_MS = VM ? 120_000 : 20_000;

/**
 * Sends one request. Resolves to status and body, or to the connection's error. Rejects only when the request hangs.
 */
async function ask(url: string, sec: number): Promise<string> {
  const body = JSON.stringify({ sec });
  try {
    const answer = await fetch(`${url}/run/slow`, { method: 'POST', body, signal: AbortSignal.timeout(HANG_MS) });
    return `${String(answer.status)} ${await answer.text()}`;
  } catch (error) {
    if (error instanceof Error && error.name === 'TimeoutError') throw new Error('a request hangs', { cause: error });
    return 'connection error';
  }
}

const CLEAR = /^200 "done"\s*$|^502 RoundTrip failed: |^500 .*\S|^503 .*\S|^connection error$/;

describePrivileged('kill -9 in the middle of requests', () => {
  const worker = new E2eWorker({
    config: ROOT_ZYGOTE,
  });

  beforeAll(async () => {
    await worker.init();
    await worker.up();
    await deploy(worker.url, { 'f.py': SLOW }, 'slow');
    expect(await ask(worker.url, 0)).toMatch(/^200/);
  });
  afterAll(() => worker.remove());

  async function storm(kill: () => void): Promise<string[]> {
    const running = Array.from({ length: 6 }, () => ask(worker.url, VM ? 3 : 1));
    await new Promise((done) => setTimeout(done, VM ? 1500 : 400));
    kill();
    return Promise.all(running);
  }

  async function servesAgain(): Promise<void> {
    await until('served again', async () => (await ask(worker.url, 0)).startsWith('200'), 30_000);
  }

  it('of a leaf', async () => {
    const answers = await storm(() => {
      const zygotes = new Set(worker.guests('zygote').map((p) => p.pid));
      const leaf = worker.guests().find((p) => zygotes.has(p.ppid));
      if (leaf === undefined) throw new Error('no forked leaf');
      process.kill(leaf.pid, 'SIGKILL');
    });
    for (const answer of answers) expect(answer).toMatch(CLEAR);
    await servesAgain();
  });

  it('of a zygote, which also ends its forks', async () => {
    const answers = await storm(() => {
      const helper = worker.helperPid();
      const zygote = worker.guests('zygote').find((p) => p.ppid === helper);
      if (zygote === undefined) throw new Error('no zygote');
      process.kill(zygote.pid, 'SIGKILL');
    });
    for (const answer of answers) expect(answer).toMatch(CLEAR);
    await servesAgain();
  });

  it('of the helper, which a new helper replaces', async () => {
    const before = worker.guests().map((p) => p.pid);
    const old = worker.helperPid();
    const answers = await storm(() => process.kill(old, 'SIGKILL'));
    for (const answer of answers) expect(answer).toMatch(CLEAR);
    await servesAgain();
    expect(worker.helperPid()).not.toBe(old);
    await until('the old guests are gone', () => before.every((pid) => !existsSync(`/proc/${pid}`)));
    expect(worker.mounts()).toEqual([]);
  });

  it("of the helper, with a frozen child that holds all of the helper's descriptors", async () => {
    const freeze = worker.cgroups().map((dir) => join(dir, 'lambda/cgroup.freeze'));
    const helper = worker.helperPid();
    const zygote = (): Process | undefined => worker.guests('zygote').find(({ ppid }) => ppid === helper);
    await until('the zygote runs', () => zygote() !== undefined);
    for (const file of freeze) if (existsSync(file)) writeFileSync(file, '1');
    // The next zygote is frozen from its start.
    process.kill(zygote()?.pid ?? 0, 'SIGKILL');
    const newborn = (): Process | undefined =>
      worker.guests().find(({ ppid, cmd }) => ppid === helper && cmd.includes('sandbox-helper'));
    await until('its successor is born', () => newborn() !== undefined);
    const child = newborn();
    const killedMs = performance.now();
    process.kill(helper, 'SIGKILL');
    await servesAgain();
    // Each start of the next helper is refused after 2 s while the child keeps the name.
    expect(performance.now() - killedMs).toBeLessThan(VM ? 60_000 : 5_000);
    await until('the child is gone', () => processes().every(({ pid }) => pid !== child?.pid), 1_000);
  });

  it('of the worker, after which the next worker starts without leftovers', async () => {
    const pids = [worker.helperPid(), ...worker.guests().map((p) => p.pid)];
    const pid = worker.pid();
    const answers = await storm(() => process.kill(pid, 'SIGKILL'));
    for (const answer of answers) expect(answer).toMatch(CLEAR);
    await until('everything below is gone', () => pids.every((p) => !existsSync(`/proc/${p}`)));
    await worker.up();
    await servesAgain();
    await worker.down();
    expect(worker.cgroups()).toEqual([]);
    expect(worker.mounts()).toEqual([]);
  });

  it('of worker and helper at once', async () => {
    await worker.up();
    await servesAgain();
    const pids = [worker.helperPid(), ...worker.guests().map((p) => p.pid)];
    const answers = await storm(() => {
      process.kill(worker.pid(), 'SIGKILL');
      process.kill(pids[0] ?? 0, 'SIGKILL');
    });
    for (const answer of answers) expect(answer).toMatch(CLEAR);
    await until('everything below is gone', () => pids.every((p) => !existsSync(`/proc/${p}`)));
    await worker.up();
    await servesAgain();
    await worker.down();
    expect(worker.cgroups()).toEqual([]);
  });
});
