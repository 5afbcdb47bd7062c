/** Each call reports whether it was the first call of its instance, and the cause of the instance's start. */
import type { Call } from '../../../../../src/lambda/serve/call/call';
import { startWorker, call, type TestWorker, type WorkerOptions } from '../../../../support/in-process-worker';
import { until } from '../../../../support/until';

const CODE = `import os, time
def f(event):
    time.sleep(event.get("s", 0))
    if event.get("die"): os._exit(1)
    return VERSION
`;

describe('the cause of a cold start', () => {
  let worker: TestWorker;
  let calls: Call[] = [];
  const start = async (options: WorkerOptions = {}) => {
    calls = [];
    worker = await startWorker({ ...options, onEnded: (_name, ended) => calls.push(ended) });
    await worker.deploy('f', { 'f.py': `VERSION = 1\n${CODE}` });
  };
  const post = (event: object = {}, name = 'f') =>
    call(worker, `/run/${name}`, { method: 'POST', body: JSON.stringify(event) });
  const causes = () => calls.map(({ cause }) => cause);
  afterEach(() => worker.close());

  test('is `first` for the first call, and absent for later ones', async () => {
    await start();
    await post();
    await post();
    expect(causes()).toEqual(['first', '']);
    expect(calls.map(({ status }) => status)).toEqual([200, 200]);
  });

  test('is that others are busy, or the end of the last instance', async () => {
    await start();
    await Promise.all([post({ s: 0.3 }), post({ s: 0.3 })]);
    expect(causes().sort()).toEqual(['busy', 'first']);
    await Promise.all([post({ s: 0.3, die: true }), post({ s: 0.3, die: true })]);
    await post();
    expect(causes().at(-1)).toBe('ended');
  });

  test('is new code, even while the old code still serves', async () => {
    await start({ settings: { registryCacheMs: 0 } });
    await post();
    const long = post({ s: 0.5 });
    await until('it runs', () => worker.manager.counts.busy === 1);
    await worker.deploy('f', { 'f.py': `VERSION = 2\n${CODE}` });
    expect((await post()).body).toContain('2');
    expect(causes()).toEqual(['first', 'code']);
    await long;
  });

  test('is reuse-sandbox: false', async () => {
    await start();
    await worker.deploy('once', { 'f.py': `VERSION = 1\n${CODE}`, 'ol.yaml': 'reuse-sandbox: false\n' });
    await post({}, 'once');
    await post({}, 'once');
    expect(causes()).toEqual(['once', 'once']);
  });
});
