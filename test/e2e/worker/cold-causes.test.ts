/** Causes of cold starts in a real worker: eviction, the end of the helper, and a limit. */
import { deploy, invoke } from '../../support/deploy';
import { metrics } from '../../support/reports';
import { E2eWorker } from '../../support/spawned-worker';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 600_000 : 60_000);

const ECHO = { 'f.py': 'def f(event):\n    return event\n' };
const BIG = {
  'f.py': 'held = bytearray(60 << 20)\nfor i in range(0, len(held), 4096): held[i] = 1\ndef f(event):\n    return 1\n',
  'ol.yaml': 'limits: { mem_mb: 100 }\n',
};

describePrivileged('the cause of a cold start', () => {
  const worker = new E2eWorker({ config: { mem_pool_mb: 500 } });
  beforeAll(async () => {
    await worker.init();
    await worker.up();
    await deploy(worker.url, ECHO, 'echo');
    for (let i = 0; i < 8; i++) await deploy(worker.url, BIG, `big${i}`);
  });
  afterAll(() => worker.remove());

  const causes = async (lambda: string): Promise<Record<string, number>> => {
    const found = (await metrics(worker.url)).matchAll(
      new RegExp(`^argyle_cold_calls_total\\{lambda="${lambda}",cause="(\\w+)"\\} (\\d+)`, 'gm'),
    );
    return Object.fromEntries([...found].map(([, cause = '', count]) => [cause, Number(count)]));
  };

  test('is `evicted` after the eviction of the last instance', async () => {
    const names = Array.from({ length: 8 }, (_, i) => `big${i}`);
    // Twice as many functions as memory allows, called twice. The evictor selects the victims.
    for (const name of [...names, ...names]) expect((await invoke(worker.url, name)).status).toBe(200);
    // A call is counted after its client has the answer.
    await until('a call whose instance was evicted', async () => {
      const found = await Promise.all(names.map(causes));
      return found.some(({ evicted = 0 }) => evicted > 0);
    });
    for (const found of await Promise.all(names.map(causes))) {
      expect(found).toEqual({ first: 1, ...('evicted' in found ? { evicted: 1 } : {}) });
    }
  });

  test('is `helper` after the end of the helper', async () => {
    expect((await invoke(worker.url, 'echo')).status).toBe(200);
    const helper = worker.helperPid();
    process.kill(helper, 'SIGKILL');
    await until('there is a new one', () => {
      try {
        return worker.helperPid() !== helper;
      } catch {
        return false;
      }
    });
    expect((await invoke(worker.url, 'echo')).status).toBe(200);
    await until('the call after it is counted', async () => 'helper' in (await causes('echo')));
    expect(await causes('echo')).toEqual({ first: 1, helper: 1 });
  });
});
