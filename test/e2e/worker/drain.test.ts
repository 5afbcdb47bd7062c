/**
 * SIGTERM to a real worker while calls run. Running calls end, new calls are refused with a clear message, and calls
 * beyond the time limit are cut off.
 */
import { deploy } from '../../support/deploy';
import { metrics } from '../../support/reports';
import { E2eWorker } from '../../support/spawned-worker';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

const VM = process.env['ARGYLE_VM'] === '1';
jest.setTimeout(VM ? 600_000 : 60_000);

const SLOW = 'import time\n\ndef f(event):\n    time.sleep(event["sec"])\n    return "done"\n';
const DRAIN_SEC = VM ? 20 : 3;

describePrivileged('a stopping worker', () => {
  const worker = new E2eWorker({ config: { argyle: { drain_sec: DRAIN_SEC } } });
  beforeAll(() => worker.init());
  beforeEach(async () => {
    await worker.up();
    await deploy(worker.url, { 'f.py': SLOW }, 'slow');
    expect(await call(0)).toMatchObject({ status: 200 });
  });
  afterAll(() => worker.remove());

  async function call(sec: number): Promise<{ status: number; text: string; headers: Headers }> {
    const answer = await fetch(`${worker.url}/run/slow`, { method: 'POST', body: JSON.stringify({ sec }) });
    return { status: answer.status, text: await answer.text(), headers: answer.headers };
  }

  /** Sends SIGTERM to the worker when `calls` calls run. @returns the worker's pid */
  async function stop(calls: number): Promise<number> {
    const running = /^argyle_instances\{state="busy"\} (\d+)/m;
    await until('the calls run', async () => {
      return Number(running.exec(await metrics(worker.url))?.[1] ?? 0) >= calls;
    });
    const pid = worker.pid();
    process.kill(pid, 'SIGTERM');
    return pid;
  }

  const gone = (pid: number): Promise<void> =>
    until(
      'it has ended',
      () => {
        try {
          process.kill(pid, 0);
          return false;
        } catch {
          return true;
        }
      },
      30_000,
    );

  it('completes the accepted calls, and refuses new calls with a clear message', async () => {
    const calls = [call(1.5), call(1.5)];
    const pid = await stop(2);
    await until('it is not ready', async () => (await fetch(`${worker.url}/readyz`)).status === 503);
    const ready: unknown = await (await fetch(`${worker.url}/readyz`)).json();
    expect(ready).toEqual({ ready: false, checks: { worker: { ok: false, why: 'the worker is draining' } } });
    const refused = await call(0);
    expect([refused.status, refused.text]).toEqual([503, 'the worker is shutting down\n']);
    expect(Object.fromEntries(refused.headers)).toMatchObject({
      'x-argyle-error': 'SHUTTING_DOWN',
      'retry-after': '1',
      connection: 'close',
    });
    expect((await Promise.all(calls)).map(({ status, text }) => [status, text.trim()])).toEqual([
      [200, '"done"'],
      [200, '"done"'],
    ]);
    await gone(pid);
    expect(worker.output()).toContain('worker has stopped');
  });

  it('cuts off calls beyond the time limit, with an error that states the reason', async () => {
    const long = call(120);
    const pid = await stop(1);
    const startMs = performance.now();
    const answer = await long;
    expect(answer.status).toBe(503);
    expect(answer.headers.get('x-argyle-error')).toBe('CUT_OFF');
    expect(answer.text).toMatch(/cut off this call, which did not end within argyle\.drain_sec/);
    expect(performance.now() - startMs).toBeGreaterThan(DRAIN_SEC * 1000 - 500);
    await gone(pid);
    expect(worker.cgroups()).toEqual([]);
  });
});
