/**
 * `ol worker up` over a running worker, under load. No connection is refused, no call fails, and nothing of the old
 * worker remains.
 */
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { deploy } from '../../support/deploy';
import { E2eWorker, processes } from '../../support/spawned-worker';
import { Load } from '../../support/load';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

const VM = process.env['ARGYLE_VM'] === '1';
jest.setTimeout(VM ? 900_000 : 180_000);

const ECHO = 'import time\n\ndef f(event):\n    time.sleep(event.get("sec", 0))\n    return event\n';
const DRAIN_SEC = VM ? 30 : 3;

for (const as of ['root', 'user'] as const)
  describePrivileged(`ol worker up over a running worker of ${as}`, () => {
    const worker = new E2eWorker({ as, config: { argyle: { drain_sec: DRAIN_SEC } } });
    beforeAll(async () => {
      await worker.init();
      await worker.up();
      await deploy(worker.url, { 'f.py': ECHO }, 'echo');
    });
    afterAll(() => worker.remove());

    const runs = (pid: number): boolean => processes().some((found) => found.pid === pid);

    /** Sends a call over a new connection. @returns the status, or the error's code */
    function fresh(n: number): Promise<string> {
      return new Promise((done) => {
        const call = request(`${worker.url}/run/echo`, { method: 'POST', agent: false }, (answer) => {
          answer.resume();
          answer.on('end', () => {
            done(String(answer.statusCode));
          });
        });
        call.on('error', (error: NodeJS.ErrnoException) => {
          done(error.code ?? error.message);
        });
        call.end(JSON.stringify({ n }));
      });
    }

    it('takes over the port, alternating between both directories, without a failed call', async () => {
      const load = new Load({
        perSecond: VM ? 10 : 75,
        call: (n) => ({ url: `${worker.url}/run/echo`, body: `{"n":${String(n)}}` }),
      }).start();
      const alone: Promise<string>[] = [];
      const knocking = setInterval(() => alone.push(fresh(alone.length)), VM ? 100 : 13);
      const pids = [worker.pid()];
      try {
        for (const second of [true, false]) {
          await worker.up();
          expect(pids).not.toContain(worker.pid());
          pids.push(worker.pid());
          if (second) expect(existsSync(join(worker.dir, 'worker/argyle.second/code'))).toBe(true);
          await new Promise((done) => setTimeout(done, 1000));
        }
      } finally {
        clearInterval(knocking);
        await load.stop();
      }
      const { outcomes } = load;
      expect([
        ...new Set(outcomes.map(({ status, body }) => (status === 200 ? '200' : `${String(status)} ${body}`))),
      ]).toEqual(['200']);
      for (const { n, body } of outcomes) expect(JSON.parse(body)).toEqual({ n });
      expect([...new Set(await Promise.all(alone))]).toEqual(['200']);
      expect(outcomes.length + alone.length).toBeGreaterThan(VM ? 50 : 500);
      await until('the old ones have ended', () => !pids.slice(0, -1).some(runs), (DRAIN_SEC + 20) * 1000);
      expect(existsSync(join(worker.dir, 'worker/argyle.second'))).toBe(false);
      expect(worker.cgroups()).not.toEqual([]);
    });

    if (as === 'user') return;

    it('completes the calls that the old worker has begun', async () => {
      const old = worker.pid();
      const long = fetch(`${worker.url}/run/echo`, { method: 'POST', body: `{"sec":${String(DRAIN_SEC - 1)}}` });
      await new Promise((done) => setTimeout(done, 300));
      await worker.up();
      expect(worker.pid()).not.toBe(old);
      expect((await long).status).toBe(200);
      await until('the old one has ended', () => !runs(old), (DRAIN_SEC + 20) * 1000);
    });

    it('stops both workers on `down`, and leaves nothing', async () => {
      await worker.up();
      await worker.down();
      expect(processes().filter(({ cmd }) => cmd.includes(worker.dir))).toEqual([]);
      expect(worker.cgroups()).toEqual([]);
      await expect(fetch(`${worker.url}/status`)).rejects.toThrow();
    });
  });
