/**
 * The original's own boss, from the executable of OL_BOSS, over three workers of this `ol`: calls, a cron trigger, a
 * Kafka registration, deletion, and the end of all workers. Without OL_BOSS only the stand-in runs (boss.test.ts).
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, symlinkSync, writeFileSync } from 'node:fs';
import { packLambda } from '../../support/deploy';
import { OlDir, PROGRAM } from '../../support/ol';
import { freePort } from '../../support/ports';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

jest.setTimeout(300_000);

const BOSS = process.env['OL_BOSS'] ?? '';
const WORKERS = 3;
const CALLS = 500;

interface Status {
  state: { starting: number; running: number; cleaning: number; destroying: number };
}

const described =
  BOSS === ''
    ? (name: string, _body: () => void) => {
        test.skip(`[optional] ${name}: OL_BOSS names no executable, so the stand-in runs`, () => undefined);
      }
    : (name: string, body: () => void) => {
        describePrivileged(`${name} (${BOSS})`, body);
      };

described("the original's executable as the boss", () => {
  let dir: OlDir;
  let boss: ChildProcess;
  let url: string;
  let firstPort: number;
  let log = '';

  beforeAll(async () => {
    dir = new OlDir();
    symlinkSync(PROGRAM, dir.path('ol'));
    const port = String(await freePort());
    firstPort = await freePort();
    writeFileSync(
      dir.path('boss.json'),
      JSON.stringify({
        platform: 'local',
        scaling: 'manual',
        api_key: 'abc',
        boss_port: port,
        worker_cap: WORKERS,
        local: {
          worker_starting_port: String(firstPort),
          path_to_worker_config_template: dir.path('template.json'),
          lambda_store_local: `file://${dir.path('store')}`,
        },
      }),
    );
    url = `http://127.0.0.1:${port}`;
    const env = { ...process.env, OL_BOSS: BOSS, SUDO_UID: '1000' };
    boss = spawn('./ol', ['boss'], { cwd: dir.dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [boss.stdout, boss.stderr]) stream?.on('data', (chunk: Buffer) => (log += chunk.toString()));
    await until(
      'the boss answers',
      () =>
        fetch(`${url}/status`).then(
          () => true,
          () => false,
        ),
      20_000,
    );
  });
  afterAll(async () => {
    // The signal is forwarded to the boss, which ends its workers. SIGKILL would leave the boss behind.
    boss.kill('SIGTERM');
    await until('the boss has ended', () => boss.exitCode !== null || boss.signalCode !== null, 60_000);
    for (let i = 1; existsSync(dir.path(`worker-${i}`)); i++) {
      await dir.ol(['worker', 'force-cleanup', '-p', `worker-${i}`]);
    }
    await dir.dispose();
  }, 120_000);

  const post = (path: string, body: string | Buffer) =>
    fetch(`${url}${path}`, { method: 'POST', body: typeof body === 'string' ? body : new Uint8Array(body) });
  const running = async () => ((await (await fetch(`${url}/status`)).json()) as Status).state.running;
  const deploy = async (name: string, files: Record<string, string>) =>
    (await post(`/registry/${name}`, await packLambda(files))).status;
  const workers = () => Array.from({ length: WORKERS }, (_, i) => `http://127.0.0.1:${firstPort + i}`);

  async function scale(count: number): Promise<void> {
    expect((await post('/scaling/worker_count', String(count))).status).toBe(200);
    await until(`${count} workers run`, async () => (await running()) === count, 180_000);
  }

  test(`scales to ${WORKERS} workers`, async () => {
    await scale(WORKERS);
    for (const worker of workers()) expect(await (await fetch(`${worker}/status`)).text()).toBe('ready\n');
  });

  test(`${CALLS} calls are all answered, and every worker serves some`, async () => {
    expect(await deploy('add', { 'f.py': 'def f(event):\n    return event + 1\n' })).toBe(201);
    let next = 0;
    const wrong: string[] = [];
    const client = async (): Promise<void> => {
      while (next < CALLS) {
        const n = next++;
        const text = await (await post('/run/add', String(n))).text();
        if (text !== String(n + 1)) wrong.push(`${n}: ${text}`);
      }
    };
    await Promise.all(Array.from({ length: 8 }, client));
    expect(wrong).toEqual([]);
    for (const worker of workers()) {
      const stats = (await (await fetch(`${worker}/stats`)).json()) as Record<string, number>;
      expect(stats['web-request.cnt']).toBeGreaterThan(CALLS / WORKERS / 4);
    }
  });

  test('a function with two Kafka triggers is registered at one worker and unregistered with it', async () => {
    const trigger = (topic: string) => `    - {bootstrap_servers: ["127.0.0.1:1"], topics: [${topic}]}\n`;
    const yaml = `triggers:\n  kafka:\n${trigger('one')}${trigger('two')}`;
    expect(await deploy('eats', { 'f.py': 'def f(event):\n    return event\n', 'ol.yaml': yaml })).toBe(201);
    const topics = async () => {
      const texts = await Promise.all(workers().map(async (worker) => (await fetch(`${worker}/debug`)).text()));
      return texts.flatMap((text) => [...text.matchAll(/^KAFKA eats\n.*\nTOPICS: (.*)$/gm)].map((match) => match[1]));
    };
    expect(await topics()).toEqual(['one,two']);
    expect((await fetch(`${url}/registry/eats`, { method: 'DELETE' })).status).toBe(200);
    expect(await topics()).toEqual([]);
  });

  test('a cron trigger calls its function every minute', async () => {
    const yaml = 'triggers:\n  cron:\n    - schedule: "* * * * *"\n';
    expect(await deploy('timed', { 'f.py': 'def f(event):\n    return event\n', 'ol.yaml': yaml })).toBe(201);
    await until('the boss tells of a call', () => log.includes('Lambda timed invoked successfully'), 90_000);
  });

  test('deletes functions, and scales to zero workers', async () => {
    for (const name of ['add', 'timed']) {
      expect((await fetch(`${url}/registry/${name}`, { method: 'DELETE' })).status).toBe(200);
    }
    expect(await (await fetch(`${url}/registry/`)).json()).toEqual([]);
    await scale(0);
    for (let i = 1; i <= WORKERS; i++) {
      await until(`worker ${i} ended`, () => !existsSync(dir.path(`worker-${i}/worker/worker.pid`)), 60_000);
    }
  });
});
