import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Rig, whyNoHelper } from '../support/real-sandboxes';
import type { InstallerBoot } from '../../src/sandbox/types';

const real = whyNoHelper() === undefined || process.env.ARGYLE_MUST_WORK !== undefined ? describe : describe.skip;

real('installers with the real helper', () => {
  jest.setTimeout(60_000);
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig({ ready: 0 });
  });
  afterEach(() => rig.verifyIdle());
  afterAll(() => rig.close());

  const stage = (name: string): string => {
    const dir = join(rig.dir, 'packages', name);
    mkdirSync(join(dir, 'files'), { recursive: true });
    chmodSync(join(dir, 'files'), 0o777);
    return dir;
  };
  const boot = (spec: string, argv: string[], target = '/host/files'): InstallerBoot => ({
    role: 'installer',
    spec,
    argv,
    env: { PIP_NO_INDEX: '1', PIP_DISABLE_PIP_VERSION_CHECK: '1' },
    target,
  });

  it("return the contents of a directory, and pip's output", async () => {
    const dir = stage('.tmp-one');
    mkdirSync(join(dir, 'files', 'thing-1.0.dist-info'));
    writeFileSync(join(dir, 'files', 'thing.py'), '');
    writeFileSync(
      join(dir, 'files', 'thing-1.0.dist-info', 'METADATA'),
      'Metadata-Version: 2.1\nName: thing\nVersion: 1.0\nRequires-Dist: other>=2\n',
    );
    expect(await rig.installer.run(boot('thing==1.0', []), '.tmp-one')).toMatchObject({
      ok: true,
      deps: [expect.stringMatching(/^other/)],
      top_level: ['thing'],
    });
    const failed = await rig.installer.run(
      boot('nonsense==9', ['download', '--no-deps', '-d', '/host/files', 'nonsense==9']),
      '.tmp-one',
    );
    expect(failed.ok).toBe(false);
    expect(failed.output).toMatch(/nonsense/);
    await rig.installer.removeTree('.tmp-one');
    expect(existsSync(dir)).toBe(false);
    await rig.installer.removeTree('.tmp-one');
  });

  it('are refused a directory that is not a staging directory', async () => {
    await expect(rig.installer.run(boot('a==1', []), 'nowhere')).rejects.toMatchObject({ code: 'SANDBOX_CREATE' });
    await expect(rig.installer.run(boot('a==1', []), '../worker')).rejects.toMatchObject({ code: 'HELPER_PROTOCOL' });
    await expect(rig.installer.removeTree('../worker')).rejects.toMatchObject({ code: 'HELPER_PROTOCOL' });
  });

  it('can be cancelled', async () => {
    stage('.tmp-two');
    const run = rig.installer.run(boot('a==1', ['download', 'a==1']), '.tmp-two', { signal: AbortSignal.timeout(50) });
    await expect(run).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});
