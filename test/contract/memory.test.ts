/** Contract, introduction and sections 1, 3, 7 and 8: a small memory pool, a short time limit, and no zygotes. */
import { describeContract, liveWorker, localTest } from '../support/contract-target';
import { pypiReached } from '../support/pypi';
import { until } from '../support/until';

jest.setTimeout(120_000);

const ECHO = { 'f.py': 'def f(event):\n    return event\n' };
const SLEEP = 'import time\n\ndef f(event):\n    time.sleep(event)\n    return 1\n';

describeContract('contract: a small pool', () => {
  const worker = liveWorker({
    config: { mem_pool_mb: 500, limits: { runtime_sec: 3, scratch_mb: 8 }, features: { import_cache: 'tree' } },
  });
  const blocks = async () => (await worker.call('/debug')).body.split('--------\n');
  const frozen = async (part: string) =>
    (await blocks()).filter((block) => block.includes(part) && block.includes('FREEZE STATE: FROZEN')).length;

  localTest(
    '0 30 paused echo sandboxes of 50 MB fit a pool of 500 MB: each is charged the memory it uses',
    async () => {
      const names = await Promise.all(Array.from({ length: 30 }, (_, i) => worker.deploy(`echo-${i}`, ECHO)));
      for (const name of names) expect(await worker.invoke(name, 1)).toMatchObject({ status: 200, body: '1' });
      await until('all are paused', async () => (await frozen('echo-')) === 30, 30_000);
      expect(await worker.stats()).not.toHaveProperty(['evict.cnt']);
    },
  );

  localTest('1 limits.runtime_sec of config.json bounds the whole exchange', async () => {
    const name = await worker.deploy('slow', { 'f.py': SLEEP });
    await worker.invoke(name, 0);
    const { status, body } = await worker.invoke(name, 20);
    expect([status, body.startsWith('RoundTrip failed: ')]).toEqual([502, true]);
  });

  localTest('1 a time limit of 0 means no limit', async () => {
    const name = await worker.deploy('unlimited', { 'f.py': SLEEP, 'ol.yaml': 'limits:\n  runtime_sec: 0\n' });
    expect(await worker.invoke(name, 3.5)).toMatchObject({ status: 200, body: '1' });
  });

  localTest("9 limits.scratch_mb sets the size of a sandbox's scratch space", async () => {
    const code = `def f(event):
    try:
        with open("/tmp/file", "wb") as file:
            for _ in range(event):
                file.write(b"x" * (1 << 20))
        return "written"
    except OSError as error:
        return error.strerror
`;
    const name = await worker.deploy('writes', { 'f.py': code });
    expect(await worker.invoke(name, 4)).toMatchObject({ status: 200, body: '"written"' });
    expect(await worker.invoke(name, 16)).toMatchObject({ status: 200, body: '"No space left on device"' });
  });

  localTest('7, 8 sandboxes that are forked from a zygote count as fork() and ImportCache.*', async () => {
    await until('a sandbox was forked', async () => {
      await worker.invoke(await worker.deploy(`forked-${Date.now()}`, ECHO), 1);
      return 'fork().cnt' in (await worker.stats());
    });
    const stats = await worker.stats();
    expect(stats['fork().ms-avg']).toBeGreaterThanOrEqual(0);
    expect(Object.keys(stats).filter((key) => /^ImportCache\..+\.cnt$/.test(key))).not.toEqual([]);
    expect(stats['ImportCache.Create.cnt']).toBeGreaterThan(0);
  });

  localTest('8 /stats has LambdaInstance-WaitSandbox-Unpause after the thaw of a paused sandbox', async () => {
    const name = await worker.deploy('woken', ECHO);
    await until('it was woken', async () => {
      await worker.invoke(name, 1);
      await until('it is paused', async () => (await frozen(`-${name}\n`)) === 1);
      return 'LambdaInstance-WaitSandbox-Unpause.cnt' in (await worker.stats());
    });
  });

  localTest('8 /stats has evict after evictions for other sandboxes, which then run', async () => {
    const code = 'KEEP = []\n\ndef f(event):\n    KEEP.append(b"x" * (event << 20))\n    return len(KEEP)\n';
    await until(
      'a sandbox was evicted',
      async () => {
        const name = await worker.deploy(`large-${Date.now()}`, { 'f.py': code });
        expect(await worker.invoke(name, 30)).toMatchObject({ status: 200, body: '1' });
        return 'evict.cnt' in (await worker.stats());
      },
      60_000,
    );
  });
});

describeContract('contract: no zygotes', () => {
  const worker = liveWorker({ config: { features: { import_cache: '' } } });

  localTest('8 /stats has LambdaInstance-WaitSandbox-NoImportCache when no sandbox is forked', async () => {
    expect(await worker.invoke(await worker.deploy('plain', ECHO), 1)).toMatchObject({ status: 200 });
    const stats = await worker.stats();
    expect(stats['LambdaInstance-WaitSandbox-NoImportCache.cnt']).toBe(1);
    expect(stats).not.toHaveProperty(['fork().cnt']);
  });
});

const PINS = [
  'numpy==2.1.0',
  'pandas==2.2.3',
  'python-dateutil==2.9.0.post0',
  'pytz==2024.2',
  'six==1.16.0',
  'tzdata==2024.2',
];

// These tests are optional: the project's own index has no numpy.
const withPypi = pypiReached() ? localTest : localTest.skip;

describeContract('contract: numpy and pandas', () => {
  const worker = liveWorker({ config: { limits: { procs: 32 } } });

  withPypi(
    '[optional] 0 numpy and pandas run within the default 50 MB when limits.procs is 32',
    async () => {
      const lambdas = {
        numpy: 'import numpy\n\ndef f(event):\n    return int(numpy.arange(event).sum())\n',
        pandas: 'import pandas\n\ndef f(event):\n    return int(pandas.DataFrame({"a": range(event)}).a.sum())\n',
      };
      expect(worker.dir.json('w/config.json')).toMatchObject({ limits: { mem_mb: 50 } });
      for (const [name, code] of Object.entries(lambdas)) {
        const lambda = await worker.deploy(name, { 'f.py': code, 'requirements.txt': PINS.join('\n') });
        for (let i = 0; i < 3; i++) expect(await worker.invoke(lambda, 10)).toMatchObject({ status: 200, body: '45' });
      }
    },
    300_000,
  );
});
