import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PackageInstaller, type PackageInstallerOptions } from '../../src/packages/install/installer';
import { LockStore } from '../../src/packages/requirements/lock-store';
import { PackagePlanner } from '../../src/packages/plan';
import { readRequest } from '../../src/packages/requirements/request';
import { Resolver } from '../../src/packages/resolver';
import { startTestMirror, type TestMirror } from '../support/mirror';
import { failure } from '../support/package-fixture';
import { Rig, whyNoHelper } from '../support/real-sandboxes';
import { until } from '../support/until';

const real = whyNoHelper() === undefined || process.env.ARGYLE_MUST_WORK !== undefined ? describe : describe.skip;

jest.setTimeout(120_000);

real.each(['uv', 'pip'] as const)('requirements resolved and installed in real sandboxes, by %s', (tool) => {
  let mirror: TestMirror;
  let rig: Rig;
  let pkgsDir: string;

  const planner = (files: Record<string, string>, options: Partial<PackageInstallerOptions> = {}) => {
    const installer = new PackageInstaller({
      pkgsDir,
      sandbox: rig.installer,
      pipMirror: mirror.url,
      pipEnv: () => Promise.resolve({}),
      tool,
      atOnce: 2,
      ...options,
    });
    const plans = new PackagePlanner({
      installer,
      resolver: new Resolver(installer),
      locks: new LockStore(pkgsDir),
    });
    const plan = async () => plans.plan(await readRequest((name) => Promise.resolve(files[name]), true));
    return { installer, plans, plan };
  };

  beforeAll(async () => {
    mirror = await startTestMirror();
    const { hostname, port } = new URL(mirror.url);
    rig = new Rig({ installerEndpoints: [{ host: hostname, port: Number(port) }] });
    pkgsDir = join(rig.dir, 'packages');
    rig.slots.start();
    await until('slots are ready', () => rig.slots.ready === 4);
  });

  afterAll(async () => {
    await rig.close();
    await mirror.close();
  });

  test('names, ranges, markers and included files are resolved to a complete set of pins', async () => {
    const { plans, plan: planned } = planner({
      'requirements.txt': '-r base.txt\n-c deps/limits.txt\nargyle-sample-frame ; python_version >= "3.8"\n',
      'base.txt': 'argyle-sample-web\n',
      'deps/limits.txt': 'argyle-sample-tiny<2\n',
    });
    const plan = await planned();
    const specs = plan.pins.map(({ spec }) => spec).sort();
    expect(specs).toEqual(expect.arrayContaining(['argyle-sample-tiny==1.1.0', 'argyle-sample-frame==2.0.0']));
    expect(specs.every((spec) => /^argyle-sample-[a-z]+==[\d.]+$/.test(spec))).toBe(true);
    const { imports } = await plans.install(plan);
    expect(imports.map(({ spec }) => spec).sort()).toEqual(specs);
    expect(readdirSync(pkgsDir)).toEqual(expect.arrayContaining(specs));
  });

  test('a pinned list gets missing dependencies; a complete list is unchanged', async () => {
    const { plans, plan: planned } = planner({ 'requirements.txt': 'argyle-sample-web==1.0.0\n' });
    const { imports, plan } = await plans.install(await planned());
    expect(imports.map(({ spec }) => spec).at(-1)).toBe('argyle-sample-web==1.0.0');
    expect(imports.length).toBeGreaterThan(1);
    const text = plan.pins.map(({ spec }) => `${spec}\n`).join('');
    const complete = planner({ 'requirements.txt': text });
    const again = await complete.plans.install(await complete.plan());
    expect(again.imports).toEqual(imports);
  });

  test('a hash that no archive has is refused, and a matching hash is enforced', async () => {
    const wrong = `sha256:${'0'.repeat(64)}`;
    const { installer, plan: planned } = planner({ 'requirements.txt': 'argyle-sample-json\n' });
    const [pin] = (await planned()).pins;
    const spec = pin?.spec ?? '';
    const right = (await new Resolver(installer).resolve({ requirements: [spec], constraints: [], hashed: true }))[0];
    expect(right?.hashes.length).toBeGreaterThan(0);
    const error = await failure(installer.ensurePins([{ spec, hashes: [wrong] }]));
    expect(error.message).toMatch(/hash/i);
    await installer.ensurePins([{ spec, hashes: right?.hashes ?? [] }], { retry: true });
    expect(readdirSync(pkgsDir)).toContain(spec);
  });

  test("hashes of requirements.txt are enforced instead of the index's hashes", async () => {
    const spec = 'argyle-sample-tiny==1.0.0';
    const { installer } = planner({});
    const [right] = await new Resolver(installer).resolve({ requirements: [spec], constraints: [], hashed: false });
    const hashes = right?.hashes.map((hash) => ` \\\n    --hash=${hash}`).join('') ?? '';
    expect(hashes).not.toBe('');
    const wrong = `--hash=sha256:${'0'.repeat(64)}`;
    const install = async (text: string) => {
      const { plans, plan: planned } = planner({ 'requirements.txt': text });
      return plans.install(await planned());
    };
    for (const text of [
      `${spec} ${wrong}\n`,
      `--require-hashes\n${spec} \\\n  ${wrong}\n`,
      `${spec} --hash=md5:00\n`,
    ]) {
      const error = await failure(install(text));
      expect(error.message).toContain(spec);
      expect(error.message).toMatch(/hash/i);
    }
    expect((await failure(install(`--require-hashes\n${spec}\n`))).message).toContain(`no hash for ${spec}`);
    const marked = `${spec} ; python_version >= "3.8"${hashes}\n`;
    expect((await install(marked)).plan.pins).toEqual([{ spec, hashes: right?.hashes }]);
  });

  test('an install from an unknown archive counts as verified when its files are equal', async () => {
    const { installer } = planner({});
    const spec = 'argyle-sample-cost==1.0.0';
    await installer.ensure([spec]);
    const [right] = await new Resolver(installer).resolve({ requirements: [spec], constraints: [], hashed: true });
    const used = planner({}, { inUse: () => [spec] }).installer;
    await used.ensurePins([{ spec, hashes: right?.hashes ?? [] }]);
    expect(readdirSync(pkgsDir)).toContain(spec);
  });

  test('unsolvable requirements are refused with the reason', async () => {
    const { plan: planned } = planner({ 'requirements.txt': 'argyle-sample-tiny>=99\n' });
    const error = await failure(planned());
    expect(error.code).toBe('INSTALL_FAILED');
    expect(error.message).toContain('argyle-sample-tiny');
  });

  test('the staging directory is empty afterwards', () => {
    expect(readdirSync(pkgsDir).filter((name) => name.startsWith('.stage'))).toEqual([]);
    expect(rig.pool.usedMb).toBe(0);
  });
});
