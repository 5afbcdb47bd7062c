/** Under `popularity`, the packages of an upload get a zygote before the first call. */
import { deploy, invoke } from '../../support/deploy';
import { startTestMirror, type TestMirror } from '../../support/mirror';
import { describePrivileged } from '../../support/privileged';
import { E2eWorker } from '../../support/spawned-worker';
import { until } from '../../support/until';

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 600_000 : 120_000);

const SOURCE = {
  'f.py':
    'import sys\n\nahead = "argyle_sample_heavy" in sys.modules\nimport argyle_sample_heavy\n\n\ndef f(event):\n    return ahead\n',
  'requirements.txt': 'argyle-sample-heavy==1.0.0\nargyle-sample-cost==1.0.0\n',
};

describePrivileged('packages of an upload', () => {
  let mirror: TestMirror;
  let worker: E2eWorker;
  beforeAll(async () => {
    mirror = await startTestMirror();
  });
  afterAll(() => mirror.close());
  afterEach(async () => {
    await worker.down();
    await worker.remove();
  });

  async function start(argyle: object): Promise<void> {
    const limits = { mem_mb: 100, procs: 32 };
    worker = new E2eWorker({
      config: { pip_mirror: mirror.url, limits, argyle, features: { import_cache: 'popularity' } },
    });
    await worker.init();
    await worker.up();
    await deploy(worker.url, SOURCE, 'heavy', 'wait');
  }

  const imported = async (): Promise<string[]> => {
    const { zygotes } = (await (await fetch(`${worker.url}/zygotes`)).json()) as {
      zygotes: { packages: string[]; state: string }[];
    };
    return zygotes.filter(({ state }) => state === 'ready').flatMap(({ packages }) => packages);
  };

  it('are imported by a zygote before the first call', async () => {
    await start({});
    await until('the zygote is ready', async () => (await imported()).includes('argyle-sample-heavy==1'), 20_000);
    expect(await invoke(worker.url, 'heavy', {})).toMatchObject({ status: 200, body: 'true' });
  });

  it('get no zygote before the first call if argyle.upload_zygotes is off', async () => {
    await start({ upload_zygotes: false });
    // A look at the demands takes place within this time.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(await imported()).toEqual([]);
    expect(await invoke(worker.url, 'heavy', {})).toMatchObject({ status: 200, body: 'false' });
  });
});
