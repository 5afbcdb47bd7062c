/**
 * Three workers behind a real HAProxy, with one registry in a bucket. One worker is killed under load, and one is
 * upgraded.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { deploy } from '../../support/deploy';
import { E2eWorker } from '../../support/spawned-worker';
import { startProxy, type Proxy } from '../../support/haproxy';
import { describePrivileged } from '../../support/privileged';
import { startS3Server, type S3Server } from '../../support/s3-server';
import { until } from '../../support/until';

jest.setTimeout(120_000);

const F = 'import time\n\ndef f(event):\n    time.sleep(0.03)\n    return "done"\n';
/** Enough functions for each worker to get calls. */
const FUNCTIONS = Array.from({ length: 6 }, (_, i) => `several-${i}`);
/** Number of clients. Each sends its next call after the answer to its last one. */
const CLIENTS = 12;

interface Outcome {
  method: 'GET' | 'POST';
  status: number;
  worker: string;
  startMs: number;
  endMs: number;
  said: string;
}

/** Clients that send calls until stop(). */
class Clients {
  readonly outcomes: Outcome[] = [];
  private stopping = false;
  private readonly agent = new Agent({ connections: CLIENTS });
  private readonly running: Promise<void>[];

  constructor(url: string) {
    this.running = Array.from({ length: CLIENTS }, (_, i) => this.run(url, i));
  }

  async stop(): Promise<Outcome[]> {
    this.stopping = true;
    await Promise.all(this.running);
    await this.agent.close();
    return this.outcomes;
  }

  private async run(url: string, first: number): Promise<void> {
    for (let n = first; !this.stopping; n++) {
      const method = n % 3 === 0 ? 'POST' : 'GET';
      const outcome = {
        method,
        status: 0,
        worker: '',
        startMs: performance.now(),
        endMs: 0,
        said: '',
      } satisfies Outcome;
      const body = method === 'POST' ? { body: '{}' } : {};
      try {
        const name = FUNCTIONS[n % FUNCTIONS.length] ?? '';
        const answer = await request(`${url}/run/${name}`, { method, dispatcher: this.agent, ...body });
        outcome.status = answer.statusCode;
        outcome.worker = String(answer.headers['x-argyle-worker']);
        outcome.said = await answer.body.text();
      } catch (error) {
        outcome.said = String(error);
      }
      outcome.endMs = performance.now();
      this.outcomes.push(outcome);
    }
  }
}

describePrivileged(
  'three workers behind HAProxy',
  () => {
    let bucket: S3Server;
    let proxy: Proxy;
    const config = { registry: 's3://functions?region=us-east-1', mem_pool_mb: 1000 };
    const workers = Array.from({ length: 3 }, () => new E2eWorker({ config }));
    const [first, second] = workers as [E2eWorker, E2eWorker];

    beforeAll(async () => {
      bucket = await startS3Server('functions');
      await Promise.all(workers.map((worker) => worker.init().then(() => worker.up())));
      proxy = await startProxy(workers.map(({ url }) => url));
    });
    afterAll(async () => {
      await proxy.close();
      await Promise.all(workers.map((worker) => worker.remove()));
      await bucket.close();
    });

    const state = (name: string) => proxy.stat(name, 'status');

    test('answer every idempotent call while one worker dies and one is upgraded', async () => {
      // Functions are uploaded to one worker and called on all.
      for (const name of FUNCTIONS) await deploy(first.url, { 'f.py': F }, name);
      const clients = new Clients(proxy.url);
      const served = (name: string, sinceMs = 0): boolean =>
        clients.outcomes.some(({ worker, status, endMs }) => worker === name && status === 200 && endMs > sinceMs);
      await until('all serve', () => ['w1', 'w2', 'w3'].every((name) => served(name)));

      const killedAt = performance.now();
      process.kill(first.pid(), 'SIGKILL');
      await until('it is seen to be down', async () => (await state('w1')).startsWith('DOWN'));
      await sleep(500);

      await proxy.admin('set server functions/w2 state drain');
      await until('it has no calls', async () => (await proxy.stat('w2', 'scur')) === '0');
      const drainedAt = performance.now();
      await second.down();
      await until('the third serves alone', () => served('w3', drainedAt));
      await second.up();
      await proxy.admin('set server functions/w2 state ready');
      await until('it is seen to be up', async () => (await state('w2')).startsWith('UP'));
      const backAt = performance.now();
      await until('it serves again', () => served('w2', backAt));

      const outcomes = await clients.stop();
      const failed = outcomes.filter(({ status }) => status !== 200);
      expect(failed.filter(({ method }) => method === 'GET')).toEqual([]);
      // A POST is not repeated, because it may have had its effect. It fails only if its worker died meanwhile.
      expect(failed.filter(({ startMs, endMs }) => startMs > killedAt || endMs < killedAt)).toEqual([]);
      expect(failed.length).toBeLessThanOrEqual(CLIENTS);
      expect(outcomes.filter(({ worker, startMs }) => worker === 'w1' && startMs > killedAt)).toEqual([]);
      expect(outcomes.length).toBeGreaterThan(100);
      process.stdout.write(`${outcomes.length} calls, ${failed.length} POSTs failed with the worker that was killed\n`);
    });

    test("admit only calls, and functions see the client's address", async () => {
      await deploy(second.url, { 'f.py': 'def f(event, context):\n    return context.headers\n' }, 'several-headers');
      const headers = { 'x-forwarded-for': '6.6.6.6', 'x-forwarded-host': 'evil', forwarded: 'for=6.6.6.6' };
      const answer = await fetch(`${proxy.url}/run/several-headers`, { method: 'POST', body: '{}', headers });
      const seen = (await answer.json()) as Record<string, string>;
      expect(seen).toMatchObject({ 'x-forwarded-host': new URL(proxy.url).host, 'x-forwarded-proto': 'http' });
      expect(seen['x-forwarded-for']).toMatch(/^127\.0\.0\.1, /);
      expect(JSON.stringify(seen)).not.toMatch(/6\.6\.6\.6|evil/);
      for (const path of ['/registry/', '/debug', '/metrics', '/run']) {
        expect((await fetch(`${proxy.url}${path}`)).status).toBe(404);
      }
    });
  },
  ['/usr/sbin/haproxy'],
);
