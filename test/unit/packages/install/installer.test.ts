import { chmodSync, existsSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import type { InstallerSandbox } from '../../../../src/sandbox/types';
import { failure, PackageFixture } from '../../../support/package-fixture';

jest.setTimeout(60_000);

const TINY = 'argyle-sample-tiny==1.0.0';
const fx = new PackageFixture();

describe('installing', () => {
  test('runs the real pip without dependencies, and returns modules and the directory', async () => {
    const packages = await fx.installer().ensure(['Argyle_Sample_Text == 1.1.0', TINY]);
    expect(packages).toEqual([
      { spec: 'argyle-sample-text==1.1.0', modules: ['argyle_sample_slug', 'argyle_sample_text'] },
      { spec: TINY, modules: ['argyle_sample_tiny'] },
    ]);
    expect(fx.onDisk()).toEqual(['argyle-sample-text==1.1.0', TINY]);
    expect(existsSync(join(fx.pkgsDir, 'argyle-sample-text==1.1.0/files/argyle_sample_text/__init__.py'))).toBe(true);
    // Both installs begin at the same time, in either order.
    expect(fx.sandbox.boots).toHaveLength(2);
    expect(fx.sandbox.boots.map(({ argv }) => argv)).toContainEqual([
      ...['install', '--no-deps', 'argyle-sample-text==1.1.0', '--no-cache-dir', '-t', '/host/files'],
      ...['--index-url', fx.mirror.url, '--trusted-host', new URL(fx.mirror.url).host],
    ]);
  });

  test('keeps two versions of a package', async () => {
    const specs = ['argyle-sample-tiny==1.0.0', 'argyle-sample-tiny==2.0.0'];
    await fx.installer().ensure(specs);
    const read = (spec: string): string =>
      readFileSync(join(fx.pkgsDir, spec, 'files/argyle_sample_tiny/__init__.py'), 'utf8');
    expect(specs.map((spec) => /__version__ = "(.*)"/.exec(read(spec))?.[1])).toEqual(['1.0.0', '2.0.0']);
  });

  test('pulls and counts a spec once per worker process', async () => {
    const first = fx.installer();
    await first.ensure([TINY]);
    await first.ensure([TINY, TINY]);
    expect(fx.pulls).toMatchObject([{ spec: TINY, meta: { deps: [], topLevel: ['argyle_sample_tiny'] } }]);
    await fx.installer().ensure([TINY]);
    expect(fx.pulls).toHaveLength(2);
    expect(fx.sandbox.boots).toHaveLength(1);
  });

  test('shares one install among concurrent requests, within the limit of installers', async () => {
    const shared = fx.installer();
    const all = await Promise.all([shared.ensure([TINY]), shared.ensure([TINY]), shared.ensure([TINY])]);
    expect(new Set(all.map((packages) => JSON.stringify(packages))).size).toBe(1);
    expect(fx.sandbox.boots).toHaveLength(1);
    await shared.ensure(['argyle-sample-json==1.0.0', 'argyle-sample-cost==1.0.0']);
    expect(fx.sandbox.mostAtOnce).toBe(1);
    const three = ['argyle-sample-numeric==1.0.0', 'argyle-sample-text==1.1.0', 'argyle-sample-web==1.0.0'];
    await fx.installer({ atOnce: 2 }).ensure(three);
    expect(fx.sandbox.mostAtOnce).toBe(2);
  });

  test('installs a package that was deleted from disk again', async () => {
    const shared = fx.installer();
    await shared.ensure([TINY]);
    rmSync(join(fx.pkgsDir, TINY), { recursive: true });
    await shared.ensure([TINY]);
    expect(existsSync(join(fx.pkgsDir, TINY, 'files/argyle_sample_tiny'))).toBe(true);
  });

  test('makes files that others cannot write, whatever modes the installer left', async () => {
    const opens = fx.altered(async (boot, stage) => {
      const result = await fx.sandbox.run(boot, stage);
      const files = join(fx.pkgsDir, stage, 'files');
      chmodSync(join(files, 'argyle_sample_tiny/__init__.py'), 0o6777);
      chmodSync(join(files, 'argyle_sample_tiny'), 0o3777);
      chmodSync(files, 0o777);
      return result;
    });
    const shared = fx.installer({ sandbox: opens });
    await shared.start();
    await shared.ensure([TINY]);
    const modes = ['', 'files', 'files/argyle_sample_tiny', 'files/argyle_sample_tiny/__init__.py'].map(
      (path) => statSync(join(fx.pkgsDir, TINY, path)).mode & 0o7777,
    );
    expect(modes).toEqual([0o755, 0o755, 0o755, 0o755]);
    expect(statSync(join(fx.pkgsDir, TINY, 'argyle.json')).mode & 0o7777).toBe(0o644);
    expect(fx.onDisk()).toEqual([TINY]);
  });

  test("uses the environment's package source when there is no mirror", async () => {
    await fx
      .installer({ pipMirror: '', pipEnv: () => Promise.resolve({ PIP_INDEX_URL: fx.mirror.url }) })
      .ensure([TINY]);
    expect(fx.sandbox.boots[0]?.argv).not.toContain('--index-url');
    expect(fx.onDisk()).toEqual([TINY]);
  });

  test("accepts the text of a requirements.txt, and records pip's version for a range", async () => {
    const shared = fx.installer();
    const packages = await shared.ensureInstalled('argyle-sample-tiny>=1,<2  # newest of 1\n');
    expect(packages).toEqual([{ spec: 'argyle-sample-tiny>=1,<2', modules: ['argyle_sample_tiny'] }]);
    expect(shared.installedVersion('argyle-sample-tiny>=1,<2')).toBe('1.1.0');
    expect(shared.installedVersion('argyle-sample-json')).toBeUndefined();
    const error = await failure(shared.ensureInstalled('argyle-sample-tiny\n../..'));
    expect([error.code, error.field]).toEqual(['REQUIREMENT_INVALID', 'requirements.txt line 2']);
  });

  test('builds a source distribution in the sandbox', async () => {
    await fx.installer().ensure(['argyle-sample-oldsetup==1.0.0']);
    expect(existsSync(join(fx.pkgsDir, 'argyle-sample-oldsetup==1.0.0/files/argyle_sample_oldsetup'))).toBe(true);
  });
});

describe('the imports of a zygote', () => {
  test("have a package after its dependencies, with the zygote's pins", async () => {
    const pins = ['argyle-sample-numeric==1.0.0', TINY, 'argyle-sample-text==1.1.0', 'argyle-sample-cost==1.0.0'];
    const packages = await fx.installer().resolveForZygote(['argyle-sample-frame==1.0.0'], pins);
    const specs = packages.map(({ spec }) => spec);
    expect(new Set(specs)).toEqual(new Set(['argyle-sample-frame==1.0.0', ...pins]));
    expect(specs.at(-1)).toBe('argyle-sample-frame==1.0.0');
    expect(specs.indexOf(TINY)).toBeLessThan(specs.indexOf('argyle-sample-text==1.1.0'));
  });

  test('have unpinned packages by their range, without the dependencies of extras', async () => {
    const packages = await fx.installer().resolveForZygote(['argyle-sample-web==1.0.0']);
    const specs = packages.map(({ spec }) => spec);
    expect(specs).toEqual(
      expect.arrayContaining(['argyle-sample-json==1.*', 'argyle-sample-text~=1.0', 'argyle-sample-tiny>=1.0']),
    );
    expect(specs).toHaveLength(4);
  });

  test('exclude packages that the function does not pin, and do not install them', async () => {
    const packages = await fx.installer().resolveForZygote(['argyle-sample-web==1.0.0'], ['argyle-sample-json==1.0.0']);
    const specs = packages.map(({ spec }) => spec);
    expect(specs).toEqual(['argyle-sample-json==1.0.0', 'argyle-sample-web==1.0.0']);
    expect(fx.onDisk()).toEqual(specs);
  });

  test('contain packages in a dependency cycle once each', async () => {
    const circular = fx.altered(async (boot, stage) => {
      const deps = boot.spec.startsWith('argyle-sample-tiny') ? ['argyle-sample-json'] : ['argyle-sample-tiny'];
      return { ...(await fx.sandbox.run(boot, stage)), deps };
    });
    const specs = ['argyle-sample-json==1.0.0', TINY];
    const packages = await fx.installer({ sandbox: circular }).resolveForZygote(specs);
    expect(packages.map(({ spec }) => spec).sort()).toEqual(specs);
  });
});

describe('disk use', () => {
  test('deletes packages above the limit, least recently used first, and none in use', async () => {
    const specs = [TINY, 'argyle-sample-tiny==1.1.0', 'argyle-sample-tiny==2.0.0'];
    await fx.installer().ensure(specs);
    specs.forEach((spec, index) => {
      utimesSync(join(fx.pkgsDir, spec, 'argyle.json'), 1000 + index, 1000 + index);
    });
    const kept = specs.slice(0, 1);
    const limited = fx.installer({ maxMb: 0.02, inUse: () => kept });
    const evicted = await limited.trim();
    expect(evicted[0]).toBe('argyle-sample-tiny==1.1.0');
    expect(fx.onDisk()).toContain(TINY);
    expect(fx.onDisk()).not.toContain('argyle-sample-tiny==1.1.0');
    expect(await fx.installer().trim()).toEqual([]);
  });

  test('installs a package again that is requested during its deletion', async () => {
    await fx.installer().ensure([TINY]);
    utimesSync(join(fx.pkgsDir, TINY, 'argyle.json'), 1000, 1000);
    let asked: Promise<unknown> | undefined;
    const slow: InstallerSandbox = {
      run: (boot, stage) => fx.sandbox.run(boot, stage),
      removeTree: async (name) => {
        asked ??= limited.ensure([TINY]);
        await fx.sandbox.removeTree(name);
      },
    };
    const limited = fx.installer({ maxMb: 0.001, sandbox: slow });
    expect(await limited.trim()).toEqual([TINY]);
    await asked;
    expect(existsSync(join(fx.pkgsDir, TINY, 'files/argyle_sample_tiny'))).toBe(true);
    utimesSync(join(fx.pkgsDir, TINY, 'argyle.json'), 1000, 1000);
    expect(await limited.trim()).toEqual([]); // requested a moment ago, whatever the time on disk is
  });
});
