import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { debianRelease, mirrorOf } from '../../../../../src/cli/worker/bases/debootstrap';
import { makeBase } from '../../../../../src/cli/worker/bases/image';
import { unpackBases } from '../../../../../src/cli/worker/bases/tar-bases';
import { baseConfig, baseRoot, pythonIn } from '../../../../../src/config/bases';
import { checkConfig } from '../../../../../src/config/check';
import { defaultConfig } from '../../../../../src/config';
import { parseOlYaml } from '../../../../../src/lambda/code/intake/ol-yaml';
import { OlDir } from '../../../../support/ol';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'bases-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** A root with a Python, a pipe, and a device if this user may make one. */
function makeRoot(version = '3.13'): string {
  const root = join(dir, 'root');
  for (const path of ['usr/bin', 'dev', 'proc/1', 'etc/ssl/certs', 'run/lock']) {
    mkdirSync(join(root, path), { recursive: true });
  }
  writeFileSync(join(root, `usr/bin/python${version}`), '');
  writeFileSync(join(root, 'etc/ssl/certs/ca-certificates.crt'), 'its own\n');
  execFileSync('mkfifo', [join(root, 'usr/pipe')]);
  if (process.getuid?.() === 0) execFileSync('mknod', [join(root, 'dev/ptmx'), 'c', '5', '2']);
  return root;
}

test("a root omits devices, pipes and mount points, and trusts the host's certificates", async () => {
  const base = join(dir, 'base');
  const bundle = join(dir, 'host.crt');
  writeFileSync(bundle, 'of the host\n');
  await makeBase(base, makeRoot(), dir, { SSL_CERT_FILE: bundle });
  const gone = ['dev/ptmx', 'usr/pipe', 'proc/1', 'run/lock'].filter((path) => existsSync(join(base, path)));
  expect(gone).toEqual([]);
  expect(pythonIn(base)).toBe('3.13');
  const certs = readFileSync(join(base, 'etc/ssl/certs/ca-certificates.crt'), 'utf8');
  expect(certs).toBe('of the host\n\nits own\n');
});

describe('a base of config.json', () => {
  const told: string[] = [];
  const context = { cwd: '/', env: {}, err: (text: string) => told.push(text) };
  const tarOf = (version: string, name = 'root.tar') => {
    const root = makeRoot(version);
    execFileSync('tar', ['-cf', join(dir, name), '-C', root, '--exclude=./usr/pipe', '.']);
    rmSync(root, { recursive: true });
    return join(dir, name);
  };
  const configWith = (file: string, name = 'python3.13') => {
    const config = { ...defaultConfig(join(dir, 'ol'), 4000), import_cache_tree: { packages: [], children: [] } };
    return { ...config, argyle: { ...config.argyle, bases: { [name]: file } } };
  };
  beforeEach(() => {
    told.length = 0;
  });

  test('from a tar file is unpacked once, and again without its packages when the file changes', async () => {
    const config = configWith(tarOf('3.13'));
    await unpackBases(config, context);
    const root = join(dir, 'ol/bases/python3.13');
    expect(baseRoot(config, 'python3.13')).toBe(root);
    expect(pythonIn(root)).toBe('3.13');
    expect(baseConfig(config, 'python3.13')).toMatchObject({
      sock_base_path: root,
      Pkgs_dir: join(root, 'packages'),
    });
    writeFileSync(join(root, 'packages/six'), '');
    await unpackBases(config, context);
    expect([existsSync(join(root, 'packages/six')), told.length]).toEqual([true, 1]);
    writeFileSync(join(dir, 'more'), '');
    execFileSync('tar', ['-rf', join(dir, 'root.tar'), '-C', dir, 'more']);
    await unpackBases(config, context);
    expect([existsSync(join(root, 'packages/six')), existsSync(join(root, 'more'))]).toEqual([false, true]);
  });

  test.each([
    ['that holds another Python', () => tarOf('3.12'), /has Python 3\.12, so its name cannot be python3\.13/],
    ['that is none', () => (writeFileSync(join(dir, 'x.tar'), 'nonsense'), join(dir, 'x.tar')), /could not unpack/],
  ])('%s is refused, and leaves nothing behind', async (_, make, message) => {
    const config = configWith(make());
    await expect(unpackBases(config, context)).rejects.toThrow(message);
    expect(existsSync(join(dir, 'ol/bases/python3.13'))).toBe(false);
  });

  test('may be a directory, which is used unchanged', async () => {
    const config = configWith(makeRoot());
    await unpackBases(config, context);
    expect([baseRoot(config, 'python3.13'), told]).toEqual([join(dir, 'root'), []]);
  });
});

test.each([
  ['debian:trixie', 'trixie'],
  ['debian:', undefined],
  ['debian:../etc', undefined],
  ['ubuntu:noble', undefined],
  ['debian:--help', undefined],
])('%s names release %s', (image, release) => {
  expect(debianRelease(image)).toBe(release);
});

test("the mirror is apt's own mirror of Debian's main archive", () => {
  expect(mirrorOf('http://m.example/debian-security\nhttp://m.example/debian/\n')).toBe('http://m.example/debian/');
  expect(mirrorOf('')).toBe('http://deb.debian.org/debian');
});

test('runtime in ol.yaml is a known name; an error lists the known names', () => {
  const runtimes = ['python3.11', 'python3.13'];
  expect(parseOlYaml('runtime: python3.13', { runtimes }).base).toBe('python3.13');
  expect(parseOlYaml('runtime: python3.11', { runtimes })).not.toHaveProperty('base');
  expect(parseOlYaml('runtime:', { runtimes })).not.toHaveProperty('base');
  for (const text of ['runtime: python3.9', 'runtime: ""', 'runtime: ../x', 'runtime: 3.13']) {
    expect(() => parseOlYaml(text, { runtimes })).toThrow(/is not known: this worker has python3\.11, python3\.13/);
  }
});

test('argyle.bases contains valid names and absolute paths', () => {
  const config = defaultConfig('/ol', 4000);
  const faults = (bases: Record<string, string>) =>
    checkConfig({ ...config, argyle: { ...config.argyle, bases } }).map(({ field }) => field);
  expect(faults({ 'python3.13': '/ol/bases/python3.13' })).toEqual([]);
  expect(faults({ '../up': '/a', 'python3.13': 'relative' })).toEqual([
    'argyle.bases.../up',
    'argyle.bases.python3.13',
  ]);
});

test('ol worker base adds, lists and removes', async () => {
  const ol = new OlDir();
  try {
    await ol.ol(['worker', 'init', '-p', 'w']);
    const base = (...args: string[]) => ol.ol(['worker', 'base', args[0] ?? '', '-p', 'w', ...args.slice(1)]);
    const root = makeRoot('3.99');
    expect((await base('add', 'python3.13', root)).err).toMatch('has Python 3.99, so its name cannot be python3.13');
    expect((await base('add', 'Bad/Name', root)).err).toMatch('must be lower-case');
    expect((await base('add', 'x', '/nonexistent')).err).toMatch('is no directory, no tar file, and no release');
    expect((await base('add', 'python3.99', root)).out).toMatch('Added python3.99: Python 3.99');
    expect((await base('add', 'python3.99', root)).err).toMatch('base python3.99 exists');
    expect((await base('ls')).out).toMatch(/^python3\.99 +3\.99 .*\/bases\/python3\.99$/m);
    expect(ol.json('w/config.json')['argyle']).toMatchObject({
      bases: { 'python3.99': ol.path('w/bases/python3.99') },
    });
    expect((await base('rm', 'other')).err).toMatch('there is no base other; there are python3.99');
    expect((await base('rm', 'python3.99')).code).toBe(0);
    expect(existsSync(ol.path('w/bases/python3.99'))).toBe(false);
    expect((await base('ls')).out).not.toMatch('python3.99');
  } finally {
    await ol.dispose();
  }
}, 60_000);
