import { closeSync, existsSync, mkdirSync, openSync, readdirSync, symlinkSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { ArgyleError } from '../../../../src/errors';
import { failure, PackageFixture } from '../../../support/package-fixture';

jest.setTimeout(60_000);

const TINY = 'argyle-sample-tiny==1.0.0';
const fx = new PackageFixture();

function touched(path: string): string {
  closeSync(openSync(path, 'wx'));
  return path;
}

describe('failures', () => {
  test("a failed install has pip's reason, leaves nothing, and is retried after the back-off", async () => {
    let nowMs = 0;
    const shared = fx.installer({ now: () => nowMs });
    for (const attempt of [1, 2]) {
      nowMs += 3_000;
      const error = await failure(shared.ensure(['argyle-sample-tiny==9.9']));
      expect(error.code).toBe('INSTALL_FAILED');
      expect(error.value).toBe('argyle-sample-tiny==9.9');
      expect(error.message).toContain('No matching distribution found for argyle-sample-tiny==9.9');
      expect(fx.sandbox.boots).toHaveLength(attempt);
      expect(fx.onDisk()).toEqual([]);
    }
    expect(fx.pulls.map(({ meta }) => meta)).toEqual([undefined, undefined]);
  });

  test('calls get the same error at once, each failure doubles the wait, and an upload retries', async () => {
    let nowMs = 0;
    const shared = fx.installer({ now: () => nowMs });
    const ask = (retry = false) => failure(shared.ensure(['argyle-sample-tiny==9.9'], { retry }));
    await ask();
    const again = await ask();
    expect(again.message).toMatch(/No matching distribution found[^]*next try in 2 s$/);
    expect(fx.sandbox.boots).toHaveLength(1);
    nowMs = 2_000;
    await ask();
    expect(fx.sandbox.boots).toHaveLength(2);
    nowMs = 4_000;
    expect((await ask()).message).toContain('next try in 2 s');
    await ask(true);
    expect(fx.sandbox.boots).toHaveLength(3);
  });

  test('a wrong hash of one function does not block other functions', async () => {
    const shared = fx.installer({ now: () => 0 });
    await failure(shared.ensurePins([{ spec: TINY, hashes: [`sha256:${'0'.repeat(64)}`] }]));
    expect((await shared.ensure([TINY])).map(({ spec }) => spec)).toEqual([TINY]);
  });

  test('a wrong hash does not block a caller that waits for the install', async () => {
    const shared = fx.installer({ now: () => 0 });
    const wrong = { spec: TINY, hashes: [`sha256:${'0'.repeat(64)}`] };
    const [first, same, other] = await Promise.allSettled([
      shared.ensurePins([wrong]),
      shared.ensurePins([wrong]),
      shared.ensure([TINY]),
    ]);
    expect([first.status, same.status, other.status]).toEqual(['rejected', 'rejected', 'fulfilled']);
    // Requests for the same package share one attempt.
    expect(fx.sandbox.boots).toHaveLength(2);
  });

  test('a failing setup script is reported to the caller', async () => {
    const error = await failure(fx.installer().ensure(['argyle-sample-badsetup']));
    expect(error.message).toContain('argyle-sample-badsetup refuses to be installed');
    expect(fx.onDisk()).toEqual([]);
  });

  test('packages before the failing one stay installed', async () => {
    await failure(fx.installer().ensure([TINY, 'argyle-sample-nothing']));
    expect(fx.onDisk()).toEqual([TINY]);
  });

  test.each(['../..', '-r', 'a/b', 'https://x'])('%s never reaches pip or the disk', async (spec) => {
    expect((await failure(fx.installer().ensure([spec]))).code).toBe('REQUIREMENT_INVALID');
    expect(fx.sandbox.boots).toEqual([]);
    expect(fx.onDisk()).toEqual([]);
  });

  test('an error of the sandbox reaches the caller, and the staging directory is removed', async () => {
    const dies = fx.altered(() => Promise.reject(new ArgyleError('SANDBOX_DEAD', 'out of memory')));
    expect((await failure(fx.installer({ sandbox: dies }).ensure([TINY]))).code).toBe('SANDBOX_DEAD');
    expect(fx.onDisk()).toEqual([]);
  });

  test('a pip that reports success and leaves nothing is detected', async () => {
    const lies = fx.altered(() => Promise.resolve({ ok: true, code: 0, deps: [], top_level: [], output: 'done' }));
    const error = await failure(fx.installer({ sandbox: lies }).ensure([TINY]));
    expect(error.message).toContain('the installer left no package behind');
    expect(fx.onDisk()).toEqual([]);
  });

  test('links of the installer are neither written through nor published', async () => {
    const victim = join(fx.pkgsDir, 'victim');
    const plants = fx.altered(async (boot, stage) => {
      const result = await fx.sandbox.run(boot, stage);
      for (const name of ['argyle.json', 'files/argyle.json']) symlinkSync(victim, join(fx.pkgsDir, stage, name));
      return result;
    });
    await fx.installer({ sandbox: plants }).ensure([TINY]);
    expect(existsSync(victim)).toBe(false);
    expect(fx.onDisk()).toEqual([TINY]);
    expect(existsSync(join(fx.pkgsDir, TINY, 'argyle.json'))).toBe(true);
    expect(readdirSync(join(fx.pkgsDir, TINY, 'files'))).not.toContain('argyle.json');
  });

  test.each([
    ['more levels than are copied', (files: string) => mkdirSync(join(files, 'd/'.repeat(70)), { recursive: true })],
    ['a file that is all hole', (files: string) => truncateSync(touched(join(files, 'hole')), 2 ** 40)],
  ])('%s fails the install and leaves nothing behind', async (_what, make) => {
    const hostile = fx.altered(async (boot, stage) => {
      const result = await fx.sandbox.run(boot, stage);
      make(join(fx.pkgsDir, stage, 'files'));
      return result;
    });
    const error = await failure(fx.installer({ sandbox: hostile, packageMaxMb: 20 }).ensure([TINY]));
    expect([error.code, error.message]).toEqual([
      'INSTALL_FAILED',
      expect.stringMatching(/: (it has more than 64 levels of directories|it takes more than 20 MB of disk)$/),
    ]);
    expect(fx.onDisk()).toEqual([]);
  });

  test("the error has the end of pip's output, without the index's credentials", async () => {
    const output = `${'x'.repeat(5000)} Looking in indexes: https://user:secret@index.example/simple END`;
    const fails = fx.altered(() => Promise.resolve({ ok: false, code: 1, deps: [], top_level: [], output }));
    const error = await failure(fx.installer({ sandbox: fails }).ensure([TINY]));
    expect(error.message).toContain('//****@index.example/simple END');
    expect(error.message).not.toContain('secret');
    expect(error.message.length).toBeLessThan(2200);
  });

  test('invalid module names from a sandbox are dropped', async () => {
    const odd = fx.altered(async (boot, stage) => ({
      ...(await fx.sandbox.run(boot, stage)),
      top_level: ['ok', 'a b', '../x', 'é', '9'],
    }));
    expect(await fx.installer({ sandbox: odd }).ensure([TINY])).toEqual([{ spec: TINY, modules: ['ok', 'é'] }]);
  });
});
