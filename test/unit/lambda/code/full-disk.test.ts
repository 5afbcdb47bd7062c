/** Updates of functions on a full disk. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ArgyleError } from '../../../../src/errors';
import { DiskWatch } from '../../../../src/packages/install/disk-watch';
import { failure, reasonOf } from '../../../../src/packages/install/install-step';
import { describePrivileged } from '../../../support/privileged';
import { smallDisk, type SmallDisk } from '../../../support/small-disk';
import { call, startWorker, type TestWorker, type WorkerOptions } from '../../../support/in-process-worker';

const code = (version: number): string => `def f(event):\n    return ${version}\n`;

describePrivileged('a function that is updated while the disk is full', () => {
  let disk: SmallDisk;
  let worker: TestWorker;
  let warnings: string[];

  async function start(options: WorkerOptions = {}): Promise<void> {
    disk = await smallDisk(32);
    warnings = [];
    const onWarn = (_fields: object, message: string): void => void warnings.push(message);
    worker = await startWorker({ settings: { registryCacheMs: 0 }, tmp: disk.dir, onWarn, ...options });
  }
  afterEach(async () => {
    disk.free();
    await worker.close();
    await disk.close();
  });

  const run = async (name: string): Promise<[number, string]> => {
    const reply = await call(worker, `/run/${name}`, { method: 'POST', body: '{}' });
    return [reply.status, reply.body.trim()];
  };

  test('the old code answers while the disk is full, and the new code runs once there is space', async () => {
    await start();
    await worker.deploy('f', { 'f.py': code(1) });
    expect(await run('f')).toEqual([200, '1']);
    await worker.deploy('f', { 'f.py': code(2), 'data.bin': 'x'.repeat(200_000) });
    disk.fill();
    for (let i = 0; i < 20; i++) expect(await run('f')).toEqual([200, '1']);
    expect(warnings).toEqual(['the disk is full: the function keeps its old code']);
    // The update is tried again after growing waits, without another line in the log.
    worker.advance(1_000);
    expect(await run('f')).toEqual([200, '1']);
    disk.free();
    worker.advance(1_000);
    expect(await run('f')).toEqual([200, '1']);
    worker.advance(1_000);
    expect(await run('f')).toEqual([200, '2']);
    expect(warnings).toHaveLength(1);
    expect(await readdir(join(worker.dir, 'code'))).toHaveLength(1);
  });

  test('an update fails without old code, and when the new code itself is at fault', async () => {
    await start();
    await worker.deploy('f', { 'f.py': code(1) });
    expect(await run('f')).toEqual([200, '1']);
    await worker.deploy('g', { 'f.py': code(1) });
    disk.fill();
    expect((await run('g'))[0]).toBe(500);
    disk.free();
    expect(await run('g')).toEqual([200, '1']);
    await worker.deploy('f', { 'g.py': '' });
    expect((await run('f'))[0]).toBe(500);
    // One line for each 500, and none about old code.
    expect(warnings).toEqual(['request failed', 'request failed']);
  });

  test('the old code stays when a nearly full disk ends an install, and not for other failures', async () => {
    let why: 'none' | 'full' | 'other' = 'none';
    const full = { freeBytes: 0, totalBytes: 1e9, freeFiles: 1, totalFiles: 1 };
    const watch = new DiskWatch('/', 0, () => Promise.resolve(full));
    const ensureInstalled = async (): Promise<[]> => {
      if (why === 'other') throw new ArgyleError('INSTALL_FAILED', 'no such package');
      if (why === 'full') {
        await watch
          .during(() => Promise.resolve())
          .catch((error: unknown) => {
            throw failure('a==1', reasonOf(error), '', error);
          });
      }
      return [];
    };
    await start({ packages: { ensureInstalled } });
    await worker.deploy('f', { 'f.py': code(1) });
    expect(await run('f')).toEqual([200, '1']);
    await worker.deploy('f', { 'f.py': code(2), 'requirements.txt': 'a==1\n' });
    why = 'full';
    expect(await run('f')).toEqual([200, '1']);
    why = 'other';
    worker.advance(1_000);
    expect(await run('f')).toEqual([500, 'no such package']);
    why = 'none';
    expect(await run('f')).toEqual([200, '2']);
  });
});
