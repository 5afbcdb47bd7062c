import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PackageInstaller, type PackageInstallerOptions } from '../../src/packages/install/installer';
import { parseRequirements } from '../../src/packages/requirements/requirements';
import { InstallerRunner } from '../../src/sandbox/installer';
import { LAMBDAS_DIR } from '../support/deploy';
import { startTestMirror, type TestMirror } from '../support/mirror';
import { failure } from '../support/package-fixture';
import { pypiReached } from '../support/pypi';
import { call, Rig, whyNoHelper } from '../support/real-sandboxes';
import { until } from '../support/until';

const real = whyNoHelper() === undefined || process.env.ARGYLE_MUST_WORK !== undefined ? describe : describe.skip;

jest.setTimeout(120_000);

const TINY = 'argyle-sample-tiny==1.0.0';

real('installs in a real sandbox', () => {
  let mirror: TestMirror;
  let rig: Rig;
  let pkgsDir: string;
  let idle: Awaited<ReturnType<Rig['counts']>>;

  const installer = (options: Partial<PackageInstallerOptions> = {}): PackageInstaller => {
    const made = new PackageInstaller({
      pkgsDir,
      sandbox: rig.installer,
      pipMirror: mirror.url,
      pipEnv: () => Promise.resolve({}),
      ...options,
    });
    rig.placeOf = (spec) => made.placeOf(spec);
    return made;
  };

  beforeAll(async () => {
    mirror = await startTestMirror();
    const { hostname, port } = new URL(mirror.url);
    rig = new Rig({ installerEndpoints: [{ host: hostname, port: Number(port) }] });
    pkgsDir = join(rig.dir, 'packages');
    rig.slots.start();
    await until('slots are ready', () => rig.slots.ready === 4);
    idle = await rig.counts();
  });

  afterEach(async () => {
    await rig.factory.close('end of test');
    await until('slots are ready', () => rig.slots.ready === 4);
    expect(rig.pool.usedMb).toBe(0);
    expect(await rig.counts()).toEqual(idle);
    expect(readdirSync(pkgsDir).filter((name) => name.startsWith('.'))).toEqual(['.store']);
  });

  afterAll(async () => {
    await rig.close();
    expect(rig.cgroups()).toEqual([]);
    await mirror.close();
  });

  test('a function imports its packages from its own directory', async () => {
    const requirements = readFileSync(join(LAMBDAS_DIR, 'inspect/requirements.txt'), 'utf8');
    const packages = await installer().ensureInstalled(requirements);
    const source = readFileSync(join(LAMBDAS_DIR, 'inspect/f.py'), 'utf8');
    const sandbox = await rig.factory.fresh(rig.leaf(source, packages));
    const answer = JSON.parse((await call(sandbox)).body) as Record<string, unknown>;
    expect(answer).toMatchObject({
      preimported: false,
      path: '/packages/argyle-sample-frame==1.0.0/files/argyle_sample_frame/__init__.py',
    });
    expect(answer['import_ms']).toBeGreaterThan(90); // 40 + 60 ms of CPU time, which is what they cost
  });

  test('the files belong to the worker, and are compiled so that imports skip the source', async () => {
    await installer().ensure([TINY]);
    const files = join(pkgsDir, TINY, 'files');
    expect(statSync(join(files, 'argyle_sample_tiny/__init__.py')).uid).toBe(process.getuid?.());
    expect(statSync(join(pkgsDir, TINY)).uid).toBe(process.getuid?.());
    const [cached = ''] = readdirSync(join(files, 'argyle_sample_tiny/__pycache__'));
    const flags = readFileSync(join(files, 'argyle_sample_tiny/__pycache__', cached)).readUInt32LE(4);
    expect(flags).toBe(1); // PEP 552: hash-based, unchecked
    expect(readdirSync(files).sort()).toEqual(['argyle_sample_tiny', 'argyle_sample_tiny-1.0.0.dist-info']);
  });

  test('metadata contains dependencies with true markers, and all top-level modules', async () => {
    const pulls: unknown[] = [];
    const shared = installer({ onPull: ({ meta }) => pulls.push(meta) });
    await shared.ensure(['argyle-sample-frame==2.0.0']);
    await shared.ensure(['argyle-sample-text==1.0.0']);
    expect(pulls).toMatchObject([
      { version: '2.0.0', deps: ['argyle-sample-cost', 'argyle-sample-numeric', 'argyle-sample-text'] },
      { topLevel: ['argyle_sample_slug', 'argyle_sample_text'], deps: ['argyle-sample-tiny'] },
    ]);
  });

  test('a failing pip and a failing setup script leave nothing behind', async () => {
    const unknown = await failure(installer().ensure(['argyle-sample-nothing==1.0']));
    expect(unknown.code).toBe('INSTALL_FAILED');
    expect(unknown.message).toContain('argyle-sample-nothing was not found in the package registry');
    const before = readdirSync(pkgsDir).sort();
    const badSetup = await failure(installer().ensure(['argyle-sample-badsetup==1.0.0']));
    expect(badSetup.message).toContain('argyle-sample-badsetup refuses to be installed');
    expect(badSetup.message).toMatch(/could not write \/packages\/argyle-sample-badsetup.txt .*Read-only file system/);
    expect(readdirSync(pkgsDir).sort()).toEqual(before);
  });

  test('an install that exceeds its time is ended with all processes that it started', async () => {
    const { slots, pool, supervisor } = rig;
    const limits = { memMb: 250, procs: 32, cpuPercent: 0, swapBytes: 0, scratchMb: 16 };
    const sandbox = new InstallerRunner({ slots, pool, limits, timeoutMs: 3000, helper: () => supervisor.get() });
    const error = await failure(installer({ sandbox }).ensure(['argyle-sample-slowsetup==1.0.0']));
    expect(error.code).toBe('TIMEOUT');
    expect(error.message).toContain('argyle-sample-slowsetup==1.0.0');
    expect(existsSync(join(pkgsDir, 'argyle-sample-slowsetup==1.0.0'))).toBe(false);
  });

  test("an install that the helper's death interrupts does not count, and the next call retries", async () => {
    const pulls: boolean[] = [];
    const shared = installer({ onPull: ({ meta }) => pulls.push(meta !== undefined) });
    const asked = mirror.requests.length;
    const cutOff = failure(shared.ensure(['argyle-sample-slowsetup==1.0.0']));
    await until('pip runs', () => readdirSync(pkgsDir).some((name) => name.startsWith('.stage-')));
    await until('the setup script runs', () =>
      mirror.requests.slice(asked).some((path) => path.includes('slowsetup-1.0.0')),
    );
    process.kill((await rig.supervisor.get()).pid, 'SIGKILL');
    expect((await cutOff).code).toMatch(/^(SANDBOX_DEAD|SANDBOX_CREATE|HELPER_GONE)$/);
    expect(existsSync(join(pkgsDir, 'argyle-sample-slowsetup==1.0.0'))).toBe(false);
    expect(await shared.ensure(['argyle-sample-json==1.0.0'])).toMatchObject([{ modules: ['argyle_sample_json'] }]);
    expect(pulls).toEqual([false, true]);
  });

  test('a source distribution is built inside the sandbox', async () => {
    expect(await installer().ensure(['argyle-sample-oldsetup==1.0.0'])).toMatchObject([
      { modules: ['argyle_sample_oldsetup'] },
    ]);
  });

  test('a directory of the original is adopted', async () => {
    for (const name of ['handmade', 'halfmade']) {
      const files = join(pkgsDir, `argyle-${name}==1.0/files`);
      mkdirSync(files, { recursive: true });
      writeFileSync(join(files, `argyle_${name}.py`), 'X = 1\n');
    }
    const modules = ['argyle_handmade'];
    const info = join(pkgsDir, 'argyle-handmade==1.0/files/argyle_handmade-1.0.dist-info');
    mkdirSync(info);
    writeFileSync(join(info, 'METADATA'), 'Metadata-Version: 2.1\nName: argyle-handmade\nVersion: 1.0\n');
    expect(await installer().ensure(['argyle-handmade==1.0'])).toEqual([{ spec: 'argyle-handmade==1.0', modules }]);
    expect(existsSync(join(pkgsDir, 'argyle-handmade==1.0/argyle.json'))).toBe(true);
    // Without metadata, the directory may be an incomplete install. It is removed and pip runs, which finds no such
    // package.
    await failure(installer().ensure(['argyle-halfmade==1.0']));
    expect(existsSync(join(pkgsDir, 'argyle-halfmade==1.0'))).toBe(false);
  });

  test('packages above the limit are deleted, whatever user owns their files', async () => {
    await installer().ensure([TINY]);
    const shared = installer({ maxMb: 0.001 });
    utimesSync(join(pkgsDir, TINY, 'argyle.json'), 1000, 1000);
    expect(await shared.trim()).toContain(TINY);
    expect(existsSync(join(pkgsDir, TINY))).toBe(false);
  });

  const outside = pypiReached() ? test : test.skip;

  outside.each(['flask', 'numpy', 'pandas', 'thumbnail'])(
    '[optional] the real packages of %s install with the host’s pip configuration and run',
    async (name) => {
      const text = readFileSync(join(LAMBDAS_DIR, name, 'requirements.txt'), 'utf8');
      const shared = new PackageInstaller({ pkgsDir, sandbox: rig.installer });
      rig.placeOf = (spec) => shared.placeOf(spec);
      const packages = await shared.ensureInstalled(text);
      expect(packages).toHaveLength(parseRequirements(text).length);
      const source = readFileSync(join(LAMBDAS_DIR, name, 'f.py'), 'utf8');
      const handler =
        name === 'flask' ? `${source}\ndef f(event):\n    return app.test_client().get("/").json\n` : source;
      const sandbox = await rig.factory.fresh(rig.leaf(handler, packages, { memMb: 128, procs: 32 }));
      const answer = await call(sandbox, {}, 30_000);
      expect([answer.status, answer.body.length > 10]).toEqual([200, true]);
    },
  );
});
