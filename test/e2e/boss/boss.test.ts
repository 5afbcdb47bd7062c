/**
 * The original's boss runs `./ol worker …` in its own folder. A stand-in does what the contract says of the boss,
 * through the same dispatcher: `./ol boss` runs `ol-boss`, which runs `./ol worker`.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startOf } from '../../../src/cli/worker/process/pidfile';
import { packLambda } from '../../support/deploy';
import { ask, OlDir, PROGRAM } from '../../support/ol';
import { freePort } from '../../support/ports';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

jest.setTimeout(300_000);

interface Started {
  id: string;
  pid: number;
  url: string;
}

/**
 * The template.json that the boss writes beside its workers. It has the original's keys, and keys that differ between
 * workers are empty.
 */
const TEMPLATE = {
  worker_dir: '',
  worker_url: 'localhost',
  worker_port: '5000',
  log_output: true,
  sandbox: 'sock',
  server_mode: 'lambda',
  registry: '',
  registry_cache_ms: 1000,
  Pkgs_dir: '',
  pip_mirror: '',
  mem_pool_mb: 0,
  import_cache_tree: '',
  sandbox_config: {},
  sock_base_path: '',
  docker: { runtime: '', base_image: 'ol-min' },
  limits: { procs: 0, mem_mb: 0, cpu_percent: 0, swappiness: 0, runtime_sec: 0 },
  installer_limits: { procs: 0, mem_mb: 0, cpu_percent: 0, swappiness: 0, runtime_sec: 0 },
  features: { reuse_cgroups: false, import_cache: '', downsize_paused_mem: true, enable_seccomp: true },
  trace: { cgroups: false, memory: false, evictor: false, package: false, latency: false },
  storage: { root: 'private', scratch: '', code: '' },
};

describePrivileged("the original's boss", () => {
  let dir: OlDir;
  let boss: ChildProcess;
  let out = '';
  let err = '';
  let workers: Started[];

  const registry = () => dir.path('shared-registry');

  beforeAll(async () => {
    dir = new OlDir();
    symlinkSync(PROGRAM, dir.path('ol'));
    copyFileSync(join(__dirname, 'stand-in.mjs'), dir.path('ol-boss'));
    chmodSync(dir.path('ol-boss'), 0o755);
    writeFileSync(dir.path('template.json'), JSON.stringify(TEMPLATE));
    mkdirSync(registry());
    const ports = [String(await freePort()), String(await freePort())];
    boss = spawn('./ol', ['boss', 'up', `file://${registry()}`, ...ports], {
      cwd: dir.dir,
      stdio: ['ignore', 'pipe', 'pipe'],
      // The stand-in, even if the caller's environment names another boss.
      env: { ...process.env, OL_BOSS: dir.path('ol-boss'), SUDO_UID: '1000' },
    });
    boss.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()));
    boss.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()));
    await until('the boss has started its workers', () => out.includes('\n') || boss.exitCode !== null, 240_000);
    if (boss.exitCode !== null) throw new Error(`the boss gave up: ${err}`);
    workers = JSON.parse(out) as Started[];
  }, 300_000);

  afterAll(async () => {
    if (boss.exitCode === null) boss.kill('SIGKILL');
    for (const id of ['worker-1', 'worker-2']) await dir.ol(['worker', 'force-cleanup', '-p', id]);
    await dir.dispose();
  }, 120_000);

  async function store(name: string, files: Record<string, string>): Promise<void> {
    writeFileSync(join(registry(), `${name}.tar.gz`), await packLambda(files));
  }

  test('starts two workers at once from its folder, and finds their pid file and config.json', () => {
    expect(workers.map(({ id }) => id)).toEqual(['worker-1', 'worker-2']);
    for (const { id, pid, url } of workers) {
      expect(dir.read(id, 'worker/worker.pid')).toBe(String(pid));
      expect(dir.json(id, 'config.json')).toMatchObject({ sandbox_config: null, worker_port: new URL(url).port });
      expect(dir.json(id, 'config.json')).not.toHaveProperty('argyle');
      expect(existsSync(dir.path(id, 'worker.out'))).toBe(true);
    }
  });

  test('sends calls to both workers of one registry through its load balancer', async () => {
    await store('hello', { 'f.py': 'def f(event):\n    return ["hello", event]\n' });
    for (const { url } of workers) {
      expect(await ask(`${url}/run/hello`, { method: 'POST', body: '{"n":1}' })).toEqual({
        status: 200,
        body: '["hello", {"n": 1}]',
      });
      expect((await ask(`${url}/stats`)).body).toContain('web-request.cnt');
    }
  });

  test('gets 200 for POST {} to /run, /kafka-init and /kafka-stop', async () => {
    await store('timed', { 'f.py': 'def f(event):\n    return event\n' });
    const url = workers[0]?.url ?? '';
    expect(await ask(`${url}/run/timed`, { method: 'POST', body: '{}' })).toEqual({ status: 200, body: '{}' });
    expect(await ask(`${url}/kafka-init/timed`, { method: 'POST', body: '[]' })).toMatchObject({ status: 200 });
    expect(await ask(`${url}/kafka-stop/timed`, { method: 'POST', body: '' })).toMatchObject({ status: 200 });
  });

  test('gets exit code 0 of up for a running worker, which is replaced, and 1 when it cannot start', async () => {
    const [first] = workers;
    const run = await dir.ol(['worker', 'up', '-p', 'worker-1', '-d'], { bin: './ol' });
    expect([run.code, run.err]).toEqual([0, '']);
    const pid = Number(dir.read('worker-1', 'worker/worker.pid'));
    expect(pid).not.toBe(first?.pid);
    expect(await ask(`${first?.url ?? ''}/status`)).toEqual({ status: 200, body: 'ready\n' });
    const broken = await dir.ol(['worker', 'up', '-p', 'worker-2', '-o', 'mem_pool_mb=1'], { bin: './ol' });
    expect(broken.code).toBe(1);
  });

  test('gets exit code 0 of force-cleanup and up after a worker was killed', async () => {
    const pid = Number(dir.read('worker-1', 'worker/worker.pid'));
    process.kill(pid, 'SIGKILL');
    await until('the worker is gone', () => startOf(pid) === undefined);
    expect(await dir.ol(['worker', 'force-cleanup', '-p', 'worker-1'], { bin: './ol' })).toMatchObject({ code: 0 });
    // The failed start above stopped the second worker.
    for (const id of ['worker-1', 'worker-2']) {
      expect(await dir.ol(['worker', 'up', '-p', id, '-d'], { bin: './ol' })).toMatchObject({ code: 0 });
    }
    for (const { url } of workers) {
      expect(await ask(`${url}/run/hello`, { method: 'POST', body: '2' })).toMatchObject({ status: 200 });
    }
  });

  test('stops its workers at SIGINT and exits with 0, and nothing is left', async () => {
    const pids = workers.map(({ id }) => Number(readFileSync(dir.path(id, 'worker/worker.pid'), 'utf8')));
    expect(boss.exitCode).toBeNull();
    // The signal goes only to the dispatcher, which must forward it.
    const closed = once(boss, 'close');
    boss.kill('SIGINT');
    await closed;
    expect([boss.exitCode, err]).toEqual([0, '']);
    expect(out).toMatch(/stopped\n$/);
    for (const pid of pids) expect(startOf(pid)).toBeUndefined();
    for (const { id } of workers) {
      expect(existsSync(dir.path(id, 'worker/worker.pid'))).toBe(false);
      expect(() => dir.json(id, 'worker/stats.json')).not.toThrow();
    }
  });
});
