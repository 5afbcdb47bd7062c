import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { PackageStore } from '../../../../src/packages/store/store';
import { failure, PackageFixture } from '../../../support/package-fixture';

jest.setTimeout(60_000);

const TINY = 'argyle-sample-tiny==1.0.0';
const fx = new PackageFixture();

/** Puts an installed package at the place of the original and of earlier versions. */
function makeForeign(spec: string, aside = join(fx.pkgsDir, 'aside')): void {
  const path = join(fx.pkgsDir, spec);
  renameSync(realpathSync(path), aside);
  rmSync(path);
  renameSync(aside, path);
  rmSync(join(path, 'argyle.json'));
}

describe('directories on disk', () => {
  test('of an interrupted install are removed at the next start', async () => {
    mkdirSync(join(fx.pkgsDir, '.stage-4194305-00/files/half'), { recursive: true });
    const shared = fx.installer();
    await shared.start();
    expect(fx.onDisk()).toEqual([]);
  });

  test("of another running worker's install stay", async () => {
    const name = `.stage-${process.ppid}-00`;
    mkdirSync(join(fx.pkgsDir, name));
    await fx.installer().start();
    expect(fx.onDisk()).toEqual([name]);
  });

  test('of the original are adopted with one metadata query, no install and the usual modes', async () => {
    const spec = 'argyle-sample-frame==1.0.0';
    await fx.installer().ensure([spec]);
    makeForeign(spec);
    chmodSync(join(fx.pkgsDir, spec, 'files/argyle_sample_frame/__init__.py'), 0o6777);
    fx.sandbox.boots.length = 0;
    expect(await fx.installer().ensure([spec])).toEqual([{ spec, modules: ['argyle_sample_frame'] }]);
    expect(fx.sandbox.boots).toMatchObject([{ argv: [], target: '/host/files' }]);
    await fx.installer().ensure([spec]);
    expect(fx.sandbox.boots).toHaveLength(1);
    expect(fx.onDisk()).toEqual([spec]);
    expect(lstatSync(join(fx.pkgsDir, spec)).isSymbolicLink()).toBe(true);
    const { mode } = statSync(join(fx.pkgsDir, spec, 'files/argyle_sample_frame/__init__.py'));
    expect((mode & 0o7777).toString(8)).toBe('755');
  });

  test('of an earlier version, which functions may have changed, stay until a new install', async () => {
    await fx.installer().ensure([TINY]);
    makeForeign(TINY, join(fx.pkgsDir, 'other'));
    const file = join(fx.pkgsDir, TINY, 'files/argyle_sample_tiny/__init__.py');
    writeFileSync(file, 'changed');
    if (process.getuid?.() !== 0) return; // only root can change the owner of files
    chownSync(file, 64321, 64321);
    fx.sandbox.boots.length = 0;
    const offline = fx.installer({ pipMirror: '', pipEnv: () => Promise.resolve({ PIP_NO_INDEX: '1' }) });
    await failure(offline.ensure([TINY]));
    expect(readFileSync(file, 'utf8')).toBe('changed');
    await fx.installer().ensure([TINY]);
    expect(fx.sandbox.boots.map(({ argv }) => argv[0])).toEqual(['install', 'install']);
    expect(readFileSync(file, 'utf8')).toContain('__version__');
    expect(lstatSync(join(fx.pkgsDir, TINY)).isSymbolicLink()).toBe(true);
    expect(fx.onDisk()).toEqual([TINY]);
  });

  test('of an earlier version are closed to others, and their store is searchable but not listable', async () => {
    rmSync(join(fx.pkgsDir, '.store'), { recursive: true });
    chmodSync(fx.pkgsDir, 0o755);
    await fx.installer().start();
    const modes = [fx.pkgsDir, join(fx.pkgsDir, '.store')].map((dir) => (statSync(dir).mode & 0o7777).toString(8));
    expect(modes).toEqual(['700', '711']);
  });

  test('without a link are removed after a while; a link without a directory is installed again', async () => {
    await fx.installer().ensure([TINY]);
    const [place = ''] = readdirSync(join(fx.pkgsDir, '.store'));
    rmSync(join(fx.pkgsDir, TINY));
    await fx.installer().start();
    expect(readdirSync(join(fx.pkgsDir, '.store'))).toEqual([place]);
    await new PackageStore(fx.pkgsDir, (name) => fx.sandbox.removeTree(name)).sweep(Date.now() + 61_000);
    expect(fx.onDisk()).toEqual([]);
    symlinkSync(`.store/${place}`, join(fx.pkgsDir, TINY));
    expect(await fx.installer().ensure([TINY])).toEqual([{ spec: TINY, modules: ['argyle_sample_tiny'] }]);
    expect(fx.onDisk()).toEqual([TINY]);
  });

  test("of the original's interrupted install do not count", async () => {
    mkdirSync(join(fx.pkgsDir, TINY, 'files/argyle_sample_tiny'), { recursive: true });
    expect(await fx.installer().ensure([TINY])).toEqual([{ spec: TINY, modules: ['argyle_sample_tiny'] }]);
    expect(fx.sandbox.boots[0]?.argv[0]).toBe('install');
    expect(existsSync(join(fx.pkgsDir, TINY, 'files/argyle_sample_tiny/__init__.py'))).toBe(true);
    expect(fx.onDisk()).toEqual([TINY]);
  });

  test('with an invalid marker are not trusted', async () => {
    await fx.installer().ensure([TINY]);
    writeFileSync(join(fx.pkgsDir, TINY, 'argyle.json'), '{"spec":"other"}');
    expect(await fx.installer().ensure([TINY])).toEqual([{ spec: TINY, modules: ['argyle_sample_tiny'] }]);
  });
});

describe('a pin with hashes whose version is installed from another archive', () => {
  const archive = () => readFileSync(join(fx.mirror.dir, 'argyle_sample_tiny-1.0.0-py3-none-any.whl'));
  const hash = () => `sha256:${createHash('sha256').update(archive()).digest('hex')}`;
  const BESIDE = /^argyle-sample-tiny==1\.0\.0\+hashes\.[0-9a-f]{16}$/;

  test('is installed beside it, once, and both stay', async () => {
    const shared = fx.installer();
    await shared.ensure([TINY]);
    const file = join(fx.pkgsDir, TINY, 'files/argyle_sample_tiny/__init__.py');
    appendFileSync(file, 'OTHER = 1\n');
    const pin = { spec: TINY, hashes: [hash()] };
    const [beside] = await shared.ensurePins([pin]);
    expect(beside?.spec).toMatch(BESIDE);
    expect(fx.onDisk()).toEqual([TINY, beside?.spec]);
    expect(
      readFileSync(join(fx.pkgsDir, beside?.spec ?? '', 'files/argyle_sample_tiny/__init__.py'), 'utf8'),
    ).not.toMatch('OTHER');
    expect(shared.dependenciesOf(pin)).toEqual([]);
    expect(await shared.ensure([TINY])).toEqual([{ spec: TINY, modules: ['argyle_sample_tiny'] }]);
    const runs = fx.sandbox.boots.length;
    expect(await shared.ensurePins([pin])).toEqual([beside]);
    const restarted = fx.installer();
    expect(await restarted.ensurePins([pin])).toEqual([beside]);
    // A zygote requests the package by the name of its directory.
    expect(await restarted.resolveForZygote([beside?.spec ?? ''], [])).toEqual([beside]);
    expect(fx.sandbox.boots).toHaveLength(runs);
  });

  test('is refused if no archive of the index has the hash', async () => {
    const shared = fx.installer();
    await shared.ensure([TINY]);
    const error = await failure(shared.ensurePins([{ spec: TINY, hashes: [`sha256:${'0'.repeat(64)}`] }]));
    expect(error.message).toMatch(/DO NOT MATCH THE HASHES/);
    expect(fx.onDisk()).toEqual([TINY]);
  });

  test('uses the installed package if the files are equal', async () => {
    await fx.installer().ensure([TINY]);
    expect(await fx.installer().ensurePins([{ spec: TINY, hashes: [hash()] }])).toMatchObject([{ spec: TINY }]);
    expect(fx.onDisk()).toEqual([TINY]);
  });
});
