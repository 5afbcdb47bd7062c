import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArgyleError } from '../../../src/errors';
import { PackageInstaller, type PackageInstallerOptions, type Pull } from '../../../src/packages/installer';
import type { InstallerBoot, InstallerSandbox, InstallResult } from '../../../src/sandbox/types';
import { LocalInstaller } from '../../support/local-installer';
import { startTestMirror, type TestMirror } from '../../support/mirror';

jest.setTimeout(60_000);

const TINY = 'argyle-sample-tiny==1.0.0';
let mirror: TestMirror;
let pkgsDir: string;
let sandbox: LocalInstaller;
let pulls: Pull[];

beforeAll(async () => {
  mirror = await startTestMirror();
}, 120_000);

afterAll(() => mirror.close());

beforeEach(() => {
  pkgsDir = mkdtempSync(join(tmpdir(), 'argyle-packages-'));
  sandbox = new LocalInstaller(pkgsDir);
  pulls = [];
});

afterEach(() => {
  rmSync(pkgsDir, { recursive: true, force: true });
});

function installer(options: Partial<PackageInstallerOptions> = {}): PackageInstaller {
  return new PackageInstaller({
    pkgsDir,
    sandbox,
    pipMirror: mirror.url,
    pipEnv: () => Promise.resolve({}),
    onPull: (pull) => pulls.push(pull),
    ...options,
  });
}

/** Everything in Pkgs_dir; staging directories would show up here. */
const onDisk = (): string[] => readdirSync(pkgsDir).sort();

async function failure(promise: Promise<unknown>): Promise<ArgyleError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ArgyleError);
  return error as ArgyleError;
}

/** Lets the local installer go first, then changes or replaces its answer. */
function altered(change: (boot: InstallerBoot, stage: string) => Promise<InstallResult>): InstallerSandbox {
  return { run: change, removeTree: (name) => sandbox.removeTree(name) };
}

describe('installing', () => {
  test('real pip, no dependencies, the top-level modules, and a directory that is its spec', async () => {
    const packages = await installer().ensure(['Argyle_Sample_Text == 1.1.0', TINY]);
    expect(packages).toEqual([
      { spec: 'argyle-sample-text==1.1.0', modules: ['argyle_sample_slug', 'argyle_sample_text'] },
      { spec: TINY, modules: ['argyle_sample_tiny'] },
    ]);
    expect(onDisk()).toEqual(['argyle-sample-text==1.1.0', TINY]);
    expect(existsSync(join(pkgsDir, 'argyle-sample-text==1.1.0/files/argyle_sample_text/__init__.py'))).toBe(true);
    expect(sandbox.boots[0]?.argv).toEqual([
      ...['install', '--no-deps', 'argyle-sample-text==1.1.0', '--cache-dir', '/tmp/.cache', '-t', '/host/files'],
      ...['--index-url', mirror.url, '--trusted-host', new URL(mirror.url).host],
    ]);
  });

  test('two versions of a package coexist', async () => {
    const specs = ['argyle-sample-tiny==1.0.0', 'argyle-sample-tiny==2.0.0'];
    await installer().ensure(specs);
    const read = (spec: string): string =>
      readFileSync(join(pkgsDir, spec, 'files/argyle_sample_tiny/__init__.py'), 'utf8');
    expect(specs.map((spec) => /__version__ = "(.*)"/.exec(read(spec))?.[1])).toEqual(['1.0.0', '2.0.0']);
  });

  test('a spec is pulled once per worker process, and counts once', async () => {
    const first = installer();
    await first.ensure([TINY]);
    await first.ensure([TINY, TINY]);
    expect(pulls).toMatchObject([{ spec: TINY, meta: { deps: [], topLevel: ['argyle_sample_tiny'] } }]);
    await installer().ensure([TINY]);
    expect(pulls).toHaveLength(2);
    expect(sandbox.boots).toHaveLength(1);
  });

  test('concurrent requests share one install, and one function installs one package at a time', async () => {
    const shared = installer();
    const all = await Promise.all([shared.ensure([TINY]), shared.ensure([TINY]), shared.ensure([TINY])]);
    expect(new Set(all.map((packages) => JSON.stringify(packages))).size).toBe(1);
    expect(sandbox.boots).toHaveLength(1);
    await shared.ensure(['argyle-sample-json==1.0.0', 'argyle-sample-cost==1.0.0']);
    expect(sandbox.mostAtOnce).toBe(1);
  });

  test('a package that was deleted from disk is installed again', async () => {
    const shared = installer();
    await shared.ensure([TINY]);
    rmSync(join(pkgsDir, TINY), { recursive: true });
    await shared.ensure([TINY]);
    expect(existsSync(join(pkgsDir, TINY, 'files/argyle_sample_tiny'))).toBe(true);
  });

  test('the files are not writable by others once they are in place, and Pkgs_dir cannot be listed by them', async () => {
    const shared = installer();
    await shared.start();
    await shared.ensure([TINY]);
    expect(statSync(join(pkgsDir, TINY, 'files')).mode & 0o777).toBe(0o755);
    expect(statSync(pkgsDir).mode & 0o777).toBe(0o711);
  });

  test('without a mirror, the environment says where packages come from', async () => {
    await installer({ pipMirror: '', pipEnv: () => Promise.resolve({ PIP_INDEX_URL: mirror.url }) }).ensure([TINY]);
    expect(sandbox.boots[0]?.argv).not.toContain('--index-url');
    expect(onDisk()).toEqual([TINY]);
  });

  test('the text of a requirements.txt is taken as it is, and what pip chose for a range is known', async () => {
    const shared = installer();
    const packages = await shared.ensureInstalled('argyle-sample-tiny>=1,<2  # newest of 1\n');
    expect(packages).toEqual([{ spec: 'argyle-sample-tiny>=1,<2', modules: ['argyle_sample_tiny'] }]);
    expect(shared.installedVersion('argyle-sample-tiny>=1,<2')).toBe('1.1.0');
    expect(shared.installedVersion('argyle-sample-json')).toBeUndefined();
    const error = await failure(shared.ensureInstalled('argyle-sample-tiny\n../..'));
    expect([error.code, error.field]).toEqual(['REQUIREMENT_INVALID', 'requirements.txt line 2']);
  });

  test('a source distribution is built where it is installed', async () => {
    await installer().ensure(['argyle-sample-oldsetup==1.0.0']);
    expect(existsSync(join(pkgsDir, 'argyle-sample-oldsetup==1.0.0/files/argyle_sample_oldsetup'))).toBe(true);
  });
});

describe('failing', () => {
  test('pip says why, nothing is left, and the next call retries', async () => {
    const shared = installer();
    for (const attempt of [1, 2]) {
      const error = await failure(shared.ensure(['argyle-sample-tiny==9.9']));
      expect(error.code).toBe('INSTALL_FAILED');
      expect(error.value).toBe('argyle-sample-tiny==9.9');
      expect(error.message).toContain('No matching distribution found for argyle-sample-tiny==9.9');
      expect(sandbox.boots).toHaveLength(attempt);
      expect(onDisk()).toEqual([]);
    }
    expect(pulls.map(({ meta }) => meta)).toEqual([undefined, undefined]);
  });

  test('a setup script that fails is told to the caller', async () => {
    const error = await failure(installer().ensure(['argyle-sample-badsetup']));
    expect(error.message).toContain('argyle-sample-badsetup refuses to be installed');
    expect(onDisk()).toEqual([]);
  });

  test('packages before the failing one stay installed', async () => {
    await failure(installer().ensure([TINY, 'argyle-sample-nothing']));
    expect(onDisk()).toEqual([TINY]);
  });

  test.each(['../..', '-r', 'a/b', 'https://x'])('%s never reaches pip or the disk', async (spec) => {
    expect((await failure(installer().ensure([spec]))).code).toBe('REQUIREMENT_INVALID');
    expect(sandbox.boots).toEqual([]);
    expect(onDisk()).toEqual([]);
  });

  test('what the sandbox throws reaches the caller, and the staging directory goes', async () => {
    const dies = altered(() => Promise.reject(new ArgyleError('SANDBOX_DEAD', 'out of memory')));
    expect((await failure(installer({ sandbox: dies }).ensure([TINY]))).code).toBe('SANDBOX_DEAD');
    expect(onDisk()).toEqual([]);
  });

  test('a pip that claims success and leaves nothing is not believed', async () => {
    const lies = altered(() => Promise.resolve({ ok: true, code: 0, deps: [], top_level: [], output: 'done' }));
    const error = await failure(installer({ sandbox: lies }).ensure([TINY]));
    expect(error.message).toContain('pip left no package behind');
    expect(onDisk()).toEqual([]);
  });

  test('a marker that the installer planted is not written through', async () => {
    const victim = join(pkgsDir, 'victim');
    const plants = altered(async (boot, stage) => {
      const result = await sandbox.run(boot, stage);
      symlinkSync(victim, join(pkgsDir, stage, 'argyle.json'));
      return result;
    });
    expect((await failure(installer({ sandbox: plants }).ensure([TINY]))).code).toBe('INSTALL_FAILED');
    expect(existsSync(victim)).toBe(false);
    expect(onDisk()).toEqual([]);
  });

  test("the end of pip's output is told, without the index's credentials", async () => {
    const output = `${'x'.repeat(5000)} Looking in indexes: https://user:secret@index.example/simple END`;
    const fails = altered(() => Promise.resolve({ ok: false, code: 1, deps: [], top_level: [], output }));
    const error = await failure(installer({ sandbox: fails }).ensure([TINY]));
    expect(error.message).toContain('//****@index.example/simple END');
    expect(error.message).not.toContain('secret');
    expect(error.message.length).toBeLessThan(2200);
  });

  test('names out of a sandbox that are no module names are dropped', async () => {
    const odd = altered(async (boot, stage) => ({
      ...(await sandbox.run(boot, stage)),
      top_level: ['ok', 'a b', '../x', 'é', '9'],
    }));
    expect(await installer({ sandbox: odd }).ensure([TINY])).toEqual([{ spec: TINY, modules: ['ok', 'é'] }]);
  });
});

describe('what is found on disk', () => {
  test('an interrupted install of ours is swept at the next start', async () => {
    mkdirSync(join(pkgsDir, '.stage-4194305-00/files/half'), { recursive: true });
    const shared = installer();
    await shared.start();
    expect(onDisk()).toEqual([]);
  });

  test('a staging directory of another worker that runs is left alone', async () => {
    const name = `.stage-${process.ppid}-00`;
    mkdirSync(join(pkgsDir, name));
    await installer().start();
    expect(onDisk()).toEqual([name]);
  });

  test("the original's whole package is adopted: metadata once, no second install", async () => {
    await installer().ensure(['argyle-sample-frame==1.0.0']);
    rmSync(join(pkgsDir, 'argyle-sample-frame==1.0.0/argyle.json'));
    sandbox.boots.length = 0;
    const adopting = await installer().ensure(['argyle-sample-frame==1.0.0']);
    expect(adopting).toEqual([{ spec: 'argyle-sample-frame==1.0.0', modules: ['argyle_sample_frame'] }]);
    expect(sandbox.boots).toMatchObject([{ argv: [], target: '/packages/argyle-sample-frame==1.0.0/files' }]);
    await installer().ensure(['argyle-sample-frame==1.0.0']);
    expect(sandbox.boots).toHaveLength(1);
    expect(onDisk()).toEqual(['argyle-sample-frame==1.0.0']);
  });

  test("the original's interrupted install counts as nothing", async () => {
    mkdirSync(join(pkgsDir, TINY, 'files/argyle_sample_tiny'), { recursive: true });
    expect(await installer().ensure([TINY])).toEqual([{ spec: TINY, modules: ['argyle_sample_tiny'] }]);
    expect(sandbox.boots[0]?.argv[0]).toBe('install');
    expect(existsSync(join(pkgsDir, TINY, 'files/argyle_sample_tiny/__init__.py'))).toBe(true);
    expect(onDisk()).toEqual([TINY]);
  });

  test('a marker that makes no sense is not trusted', async () => {
    await installer().ensure([TINY]);
    writeFileSync(join(pkgsDir, TINY, 'argyle.json'), '{"spec":"other"}');
    expect(await installer().ensure([TINY])).toEqual([{ spec: TINY, modules: ['argyle_sample_tiny'] }]);
  });
});

describe('what a zygote imports', () => {
  test('a package comes behind all that it depends on, pinned as the zygote pins it', async () => {
    const pins = ['argyle-sample-numeric==1.0.0', TINY, 'argyle-sample-text==1.1.0', 'argyle-sample-cost==1.0.0'];
    const packages = await installer().resolveForZygote(['argyle-sample-frame==1.0.0'], pins);
    const specs = packages.map(({ spec }) => spec);
    expect(new Set(specs)).toEqual(new Set(['argyle-sample-frame==1.0.0', ...pins]));
    expect(specs.at(-1)).toBe('argyle-sample-frame==1.0.0');
    expect(specs.indexOf(TINY)).toBeLessThan(specs.indexOf('argyle-sample-text==1.1.0'));
  });

  test('what nobody pins is installed by its range, and an extra of a package is not followed', async () => {
    const packages = await installer().resolveForZygote(['argyle-sample-web==1.0.0']);
    const specs = packages.map(({ spec }) => spec);
    expect(specs).toEqual(
      expect.arrayContaining(['argyle-sample-json==1.*', 'argyle-sample-text~=1.0', 'argyle-sample-tiny>=1.0']),
    );
    expect(specs).toHaveLength(4);
  });

  test('packages that depend on each other in a circle are each imported once', async () => {
    const circular = altered(async (boot, stage) => {
      const deps = boot.spec.startsWith('argyle-sample-tiny') ? ['argyle-sample-json'] : ['argyle-sample-tiny'];
      return { ...(await sandbox.run(boot, stage)), deps };
    });
    const specs = ['argyle-sample-json==1.0.0', TINY];
    const packages = await installer({ sandbox: circular }).resolveForZygote(specs);
    expect(packages.map(({ spec }) => spec).sort()).toEqual(specs);
  });
});

describe('disk use', () => {
  test('packages beyond the limit go, least recently used first, never those in use', async () => {
    const specs = [TINY, 'argyle-sample-tiny==1.1.0', 'argyle-sample-tiny==2.0.0'];
    await installer().ensure(specs);
    specs.forEach((spec, index) => {
      utimesSync(join(pkgsDir, spec, 'argyle.json'), 1000 + index, 1000 + index);
    });
    const kept = specs.slice(0, 1);
    const limited = installer({ maxMb: 0.02, inUse: () => kept });
    const evicted = await limited.trim();
    expect(evicted[0]).toBe('argyle-sample-tiny==1.1.0');
    expect(onDisk()).toContain(TINY);
    expect(onDisk()).not.toContain('argyle-sample-tiny==1.1.0');
    expect(await installer().trim()).toEqual([]);
  });
});
