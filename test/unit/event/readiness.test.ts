import { setTimeout as sleep } from 'node:timers/promises';
import { ArgyleError } from '../../../src/errors';
import { NotReady, Readiness, whyOf, type ReadyCheck } from '../../../src/event/readiness';
import { call, startWorker } from '../../support/in-process-worker';

function recorder() {
  const lines: [string, object][] = [];
  const write = (fields: object, message: string): void => void lines.push([message, fields]);
  return { lines, log: { info: write, warn: write } };
}

/** A check with a given result, which counts its runs. */
function told(name: string) {
  const self = {
    name,
    runs: 0,
    answer: (): Promise<unknown> => Promise.resolve(),
    check: (): Promise<unknown> => {
      self.runs++;
      return self.answer();
    },
  };
  return self;
}

describe('a worker', () => {
  test('names each failed check with its reason, and runs the checks once per second', async () => {
    const [good, bad] = [told('good'), told('bad')];
    bad.answer = () => Promise.reject(new NotReady('it is broken'));
    let now = 0;
    const { lines, log } = recorder();
    const readiness = new Readiness([good, bad], log, () => now);
    const reports = await Promise.all(Array.from({ length: 50 }, () => readiness.report()));
    for (const report of reports) {
      expect(report).toEqual({ ready: false, checks: { good: { ok: true }, bad: { ok: false, why: 'it is broken' } } });
    }
    now = 999;
    await readiness.report();
    expect([good.runs, bad.runs]).toEqual([1, 1]);
    now = 1000;
    await readiness.report();
    bad.answer = () => Promise.resolve();
    now = 2000;
    expect(await readiness.report()).toEqual({ ready: true, checks: { good: { ok: true }, bad: { ok: true } } });
    expect([good.runs, bad.runs]).toEqual([3, 3]);
    // Only changes are logged.
    expect(lines.map(([message, fields]) => [message, (fields as { check: string }).check])).toEqual([
      ['not ready', 'bad'],
      ['ready again', 'bad'],
    ]);
  });

  test('does not wait for a hanging check, and does not start the check twice', async () => {
    const hanging = told('hanging');
    let end: (() => void) | undefined;
    hanging.answer = () => new Promise<void>((resolve) => (end = resolve));
    let now = 0;
    const readiness = new Readiness([hanging], recorder().log, () => now);
    for (const at of [0, 5000]) {
      now = at;
      const { checks } = await readiness.report();
      expect(checks).toEqual({ hanging: { ok: false, why: 'no answer within 1000 ms' } });
    }
    expect(hanging.runs).toBe(1);
    end?.();
    await sleep(1);
    hanging.answer = () => Promise.resolve();
    now = 10_000;
    expect((await readiness.report()).ready).toBe(true);
  });

  test('is not ready while it stops, and runs no check', async () => {
    const check = told('check');
    const readiness = new Readiness([check], recorder().log);
    readiness.stop();
    const checks = { worker: { ok: false, why: 'the worker is draining' } };
    expect(await readiness.report()).toEqual({ ready: false, checks });
    expect(check.runs).toBe(0);
  });
});

test.each([
  ['write failed with ENOSPC', Object.assign(new Error('ENOSPC, /secret'), { code: 'ENOSPC', syscall: 'write' })],
  [
    'open failed with EROFS',
    new ArgyleError('REGISTRY', 'open /secret', {
      cause: Object.assign(new Error('/secret'), { code: 'EROFS', syscall: 'open' }),
    }),
  ],
  ['HELPER_GONE: the sandbox helper ended while a request was in flight', new ArgyleError('HELPER_GONE', '/secret')],
  ['the check failed', new Error('/secret')],
  ['the check failed', '/secret'],
])('%s is reported without the text of the error', (why, thrown) => {
  expect(whyOf(thrown)).toBe(why);
});

test('/healthz and /readyz answer any method; /readyz is 503 while a check fails', async () => {
  const failing: ReadyCheck = { name: 'disk', check: () => Promise.reject(new NotReady('the disk is nearly full')) };
  const checks: ReadyCheck[] = [{ name: 'memory', check: () => Promise.resolve() }];
  let now = 0;
  const readiness = new Readiness(checks, recorder().log, () => now);
  const worker = await startWorker({ readiness });
  try {
    for (const method of ['GET', 'POST', 'HEAD']) {
      const live = await call(worker, '/healthz', { method });
      expect([live.status, live.body]).toEqual([200, method === 'HEAD' ? '' : 'ok\n']);
      expect((await call(worker, '/readyz', { method })).status).toBe(200);
    }
    checks.push(failing);
    now = 1000;
    const reply = await call(worker, '/readyz');
    expect([reply.status, reply.headers['content-type']]).toEqual([503, 'application/json']);
    expect(JSON.parse(reply.body)).toEqual({
      ready: false,
      checks: { memory: { ok: true }, disk: { ok: false, why: 'the disk is nearly full' } },
    });
    expect((await call(worker, '/healthz')).status).toBe(200);
    expect((await call(worker, '/status')).body).toBe('ready\n');
  } finally {
    await worker.close();
  }
});
