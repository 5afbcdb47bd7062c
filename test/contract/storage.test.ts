/** Contract, section 3: the storage settings, each with a separate worker. */
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deploy } from '../support/deploy';
import { describeContract, localTest } from '../support/contract-target';
import { ask, OlDir } from '../support/ol';
import { freePort } from '../support/ports';

jest.setTimeout(120_000);

const TMPFS = 0x01021994;

describeContract('contract: storage', () => {
  let dir: OlDir;
  beforeEach(() => {
    dir = new OlDir();
  });
  afterEach(() => dir.dispose());

  /**
   * Makes the worker directory `path`. A test names the path, because the test's own directory may not be in /dev/shm.
   */
  async function init(path: string, storage: Record<string, string>): Promise<string> {
    const port = String(await freePort());
    expect(await dir.ol(['worker', 'init', '-p', path])).toMatchObject({ code: 0 });
    const file = join(path, 'config.json');
    const config = dir.json(file);
    writeFileSync(dir.path(file), JSON.stringify({ ...config, worker_port: port, storage }));
    return `http://127.0.0.1:${port}`;
  }

  localTest.each(['', 'private', 'memory'])('3 functions run with storage root and scratch %j', async (mode) => {
    const url = await init('w', { root: mode, scratch: mode, code: '' });
    expect(await dir.ol(['worker', 'up', '-p', 'w', '-d'])).toMatchObject({ code: 0 });
    const code = 'def f(event):\n    open("/tmp/x", "w").write("x")\n    return open("/tmp/x").read()\n';
    await deploy(url, { 'f.py': code }, 'writes');
    expect(await ask(`${url}/run/writes`, { method: 'POST' })).toEqual({ status: 200, body: '"x"' });
  });

  localTest('3 storage.code memory on a disk is refused at the start, with advice', async () => {
    const onDisk = statfsSync(dir.dir).type !== TMPFS;
    await init('w', { root: '', scratch: '', code: 'memory' });
    const { code } = await dir.ol(['worker', 'up', '-p', 'w', '-d']);
    expect(code).toBe(onDisk ? 1 : 0);
    if (onDisk) expect(dir.read('w/worker.out')).toMatch(/^storage\.code is "memory", but worker_dir .* tmpfs/m);
  });

  localTest('3 storage.code memory keeps code in memory when the worker directory is on a tmpfs', async () => {
    const shm = mkdtempSync('/dev/shm/argyle-test-');
    const path = join(shm, 'w');
    try {
      expect(await dir.ol(['worker', 'init', '-p', path])).toMatchObject({ code: 0 });
      const port = String(await freePort());
      const up = ['worker', 'up', '-p', path, '-d', '-o', `storage.code=memory,worker_port=${port}`];
      expect(await dir.ol(up)).toMatchObject({ code: 0 });
      await deploy(`http://127.0.0.1:${port}`, { 'f.py': 'def f(event):\n    return 1\n' }, 'held');
      expect(await ask(`http://127.0.0.1:${port}/run/held`, { method: 'POST' })).toEqual({ status: 200, body: '1' });
      expect(statfsSync(join(path, 'worker/code')).type).toBe(TMPFS);
    } finally {
      await dir.ol(['worker', 'down', '-p', path]);
      rmSync(shm, { recursive: true, force: true });
    }
  });
});
