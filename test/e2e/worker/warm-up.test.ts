/** The warm-up of a started worker. Real requests have priority, and no trace of the warm-up remains or is visible. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deploy } from '../../support/deploy';
import { E2eWorker } from '../../support/spawned-worker';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

jest.setTimeout(120_000);

const ENDED = /"calls":(\d+),"ms":\d+,"msg":"warm-up done"/;
const ECHO = 'def f(event):\n    return event\n';

async function get(worker: E2eWorker, path: string): Promise<string> {
  const answer = await fetch(`${worker.url}${path}`);
  expect(answer.status).toBe(200);
  return answer.text();
}

async function started(config: Record<string, unknown>): Promise<E2eWorker> {
  const worker = new E2eWorker({ config });
  await worker.init();
  await worker.up();
  return worker;
}

const ended = (worker: E2eWorker) => until('the warm-up has ended', () => ENDED.test(worker.output()), 60_000);

describePrivileged('the warm-up of a worker', () => {
  let worker: E2eWorker;
  afterEach(() => worker.remove());

  it.each([
    ['of a tree', 'tree'],
    ['by popularity', 'popularity'],
  ])('with zygotes %s leaves nothing behind', async (_how, mode) => {
    worker = await started({ features: { import_cache: mode }, argyle: { warmup_calls: 80 } });
    await ended(worker);
    expect(worker.output()).toMatch('"calls":80,');
    expect(worker.output()).not.toMatch('failed');
    const stats = JSON.parse(await get(worker, '/stats')) as Record<string, number>;
    expect(Object.keys(stats).filter((name) => /web-request|Invoke|Create\(\)|fork|pull/.test(name))).toEqual([]);
    expect(await get(worker, '/metrics')).not.toMatch(/argyle_requests_total\{|argyle_cold_start_seconds_count/);
    const { zygotes } = JSON.parse(await get(worker, '/zygotes')) as { zygotes: { id: string; forks: number }[] };
    expect(zygotes).toMatchObject([{ id: '', forks: 0 }]);
    expect(await get(worker, '/debug')).toBe('');
    expect(worker.guests('zygote')).toHaveLength(1);
    const own = join(worker.dir, 'worker');
    expect(readdirSync(join(own, 'code'))).toEqual([]);
    expect(readdirSync(own).filter((name) => name.startsWith('warmup'))).toEqual([]);
    // Eight slots are made ahead, and there is one zygote.
    const v2 = worker.cgroups().find((path) => path.startsWith('/sys/fs/cgroup/unified')) ?? worker.cgroups()[0] ?? '';
    const slots = () => readdirSync(v2, { withFileTypes: true }).filter((entry) => entry.isDirectory()).length;
    await until('no slots but its own are left', () => slots() <= 10, 5000);
  });

  it('in sock mode makes and destroys sandboxes, and leaves nothing behind', async () => {
    worker = await started({ server_mode: 'sock', argyle: { warmup_calls: 40 } });
    await ended(worker);
    expect(worker.output()).toMatch('"calls":40,');
    expect(worker.output()).not.toMatch('failed');
    const post = async (path: string, body: object | null = null): Promise<string> => {
      const answer = await fetch(`${worker.url}${path}`, { method: 'POST', body: body && JSON.stringify(body) });
      expect(answer.status).toBe(200);
      return answer.text();
    };
    expect(await post('/debug')).toBe('');
    const stats = JSON.parse(await get(worker, '/stats')) as Record<string, number>;
    expect(Object.keys(stats).filter((name) => /Create\(\)|fork|Destroy/.test(name))).toEqual([]);
    const own = join(worker.dir, 'worker');
    expect(readdirSync(join(own, 'code'))).toEqual([]);
    expect(readdirSync(own).filter((name) => name.startsWith('warmup'))).toEqual([]);
    expect(readdirSync(join(own, 'scratch')).filter((name) => !name.endsWith('.sock'))).toEqual([]);
    // The ids that clients see still begin at 1.
    expect(await post('/create', { code: '', leaf: false })).toBe('1\n');
  });

  it('in sock mode releases its memory as soon as a client waits for memory', async () => {
    // The memory that the warm-up leaves suffices for one sandbox, not for two.
    const sizes = { mem_pool_mb: 300, limits: { mem_mb: 150 }, installer_limits: { mem_mb: 100 } };
    worker = await started({ server_mode: 'sock', ...sizes, argyle: { warmup_calls: 100_000 } });
    const own = join(worker.dir, 'worker');
    await until('its warm-up runs', () => readdirSync(own).some((name) => name.startsWith('warmup-')), 20_000);
    const code = join(worker.top, 'echo');
    mkdirSync(code);
    writeFileSync(join(code, 'f.py'), ECHO);
    const begunMs = performance.now();
    for (const id of ['1\n', '2\n']) {
      const answer = await fetch(`${worker.url}/create`, { method: 'POST', body: JSON.stringify({ code }) });
      expect([answer.status, await answer.text()]).toEqual([200, id]);
    }
    expect(performance.now() - begunMs).toBeLessThan(10_000);
    await ended(worker);
  });

  it('makes fresh processes when there are no zygotes', async () => {
    worker = await started({ features: { import_cache: '' }, argyle: { warmup_calls: 20 } });
    await ended(worker);
    expect(worker.output()).toMatch('"calls":20,');
    expect(worker.guests('zygote')).toEqual([]);
  });

  it('rests while real requests are served, and continues afterwards', async () => {
    worker = await started({ argyle: { warmup_calls: 400 } });
    await deploy(worker.url, { 'f.py': ECHO }, 'echo');
    for (let n = 0; n < 50; n++) {
      const answer = await fetch(`${worker.url}/run/echo`, { method: 'POST', body: JSON.stringify(n) });
      expect([answer.status, (await answer.text()).trim()]).toEqual([200, String(n)]);
    }
    const counted = JSON.parse(await get(worker, '/stats')) as Record<string, number>;
    expect(counted['web-request.cnt']).toBe(50);
    await ended(worker);
    expect(worker.output()).toMatch('"calls":400,');
  });

  it('ends with the worker, and leaves nothing', async () => {
    worker = await started({ argyle: { warmup_calls: 100_000 } });
    const path = join(worker.dir, 'worker/code');
    await until('its warm-up runs', () => readdirSync(path).some((name) => name.startsWith('warmup-')), 20_000);
    await worker.down();
    expect(worker.output()).not.toMatch('failed');
    expect(worker.cgroups()).toEqual([]);
    expect(worker.mounts()).toEqual([]);
    expect(existsSync(path) ? readdirSync(path) : []).toEqual([]);
  });

  it('does not run when it is switched off', async () => {
    worker = await started({ argyle: { warmup_calls: 0 } });
    await deploy(worker.url, { 'f.py': ECHO }, 'echo');
    await new Promise((done) => setTimeout(done, 1500));
    expect(worker.output()).not.toMatch(/warm-?up/);
    expect(readdirSync(join(worker.dir, 'worker/code'))).toEqual([]);
  });
});
