import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeHostBase, resolvConf } from '../../../../../src/cli/worker/bases/base';
import { helperConfText } from '../../../../../src/cli/worker/helper-conf';
import { makeBase } from '../../../../../src/cli/worker/bases/image';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'base-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** A small host with a merged /usr. */
function makeHost(): string {
  const host = join(dir, 'host');
  for (const path of ['usr/bin', 'usr/lib', 'etc/ssl/certs', 'etc/alternatives', 'etc/python3.9', 'etc/shadow.d']) {
    mkdirSync(join(host, path), { recursive: true });
  }
  symlinkSync('usr/bin', join(host, 'bin'));
  symlinkSync('/usr/lib', join(host, 'lib'));
  symlinkSync('/usr/lib/libblas.so.3', join(host, 'etc/alternatives/libblas.so'));
  symlinkSync('/usr/share/zoneinfo/UTC', join(host, 'etc/localtime'));
  writeFileSync(join(host, 'etc/passwd'), 'secret:x:1:1::/:/bin/sh\n');
  writeFileSync(join(host, 'etc/mime.types'), 'text/html html\n', { mode: 0o600 });
  writeFileSync(join(host, 'etc/ssl/certs/ca-certificates.crt'), 'CERT');
  writeFileSync(join(host, 'etc/python3.9/sitecustomize.py'), '');
  return host;
}

describe('makeHostBase', () => {
  test('makes an almost empty root with links into /usr', () => {
    const base = join(dir, 'base');
    makeHostBase(base, {}, makeHost());
    expect(readdirSync(base).sort()).toEqual(
      ['bin', 'dev', 'etc', 'handler', 'host', 'lib', 'packages', 'runtime', 'tmp', 'usr'].sort(),
    );
    expect([readlinkSync(join(base, 'bin')), readlinkSync(join(base, 'lib'))]).toEqual(['usr/bin', 'usr/lib']);
    expect(readdirSync(join(base, 'usr'))).toEqual([]);
    expect(statSync(join(base, 'tmp')).mode & 0o7777).toBe(0o1777);
  });

  test("makes an /etc with the files that programs need, without data of the host's users", () => {
    const base = join(dir, 'base');
    makeHostBase(base, {}, makeHost());
    const etc = (name: string) => readFileSync(join(base, 'etc', name), 'utf8');
    expect(etc('passwd')).toContain('sandbox:x:1000:1000:');
    expect(etc('passwd')).not.toContain('secret');
    expect(etc('ssl/certs/ca-certificates.crt')).toBe('CERT');
    expect(etc('python3.9/sitecustomize.py')).toBe('');
    expect(statSync(join(base, 'etc/mime.types')).mode & 0o777).toBe(0o644);
    expect(readlinkSync(join(base, 'etc/alternatives/libblas.so'))).toBe('/usr/lib/libblas.so.3');
    expect(lstatSync(join(base, 'etc/shadow.d'), { throwIfNoEntry: false })).toBeUndefined();
    expect(etc('resolv.conf')).toContain('nameserver');
  });

  test('uses the bundle of SSL_CERT_FILE', () => {
    writeFileSync(join(dir, 'own.pem'), 'OWN');
    makeHostBase(join(dir, 'base'), { SSL_CERT_FILE: join(dir, 'own.pem') }, makeHost());
    expect(readFileSync(join(dir, 'base/etc/ssl/certs/ca-certificates.crt'), 'utf8')).toBe('OWN');
  });

  test('a host without a merged /usr is refused', () => {
    const host = makeHost();
    mkdirSync(join(host, 'sbin'));
    expect(() => {
      makeHostBase(join(dir, 'base'), {}, host);
    }).toThrow('/sbin of this host is no link into /usr');
  });
});

describe('resolvConf', () => {
  const from = (files: Record<string, string>) => resolvConf((path) => files[path]);
  const STUB = '/run/systemd/resolve/resolv.conf';

  test.each([
    ['the host’s', { '/etc/resolv.conf': 'nameserver 10.0.0.1\n' }, 'nameserver 10.0.0.1\n'],
    [
      'what stands behind a stub',
      { '/etc/resolv.conf': 'nameserver 127.0.0.53\n', [STUB]: 'nameserver 10.0.0.2\n' },
      'nameserver 10.0.0.2\n',
    ],
    [
      'a loopback one, if nothing else is known',
      { '/etc/resolv.conf': 'nameserver 127.0.0.1\n' },
      'nameserver 127.0.0.1\n',
    ],
    ['8.8.8.8 without any', {}, 'nameserver 8.8.8.8\n'],
    ['8.8.8.8 for a file that names none', { '/etc/resolv.conf': '# nameserver\n' }, 'nameserver 8.8.8.8\n'],
  ])('is %s', (_name, files, expected) => {
    expect(from(files)).toBe(expected);
  });
});

describe('makeBase', () => {
  test("copies a directory with its links, and adds the helper's mount points", async () => {
    const image = join(dir, 'image');
    mkdirSync(join(image, 'usr/bin'), { recursive: true });
    symlinkSync('/usr/bin', join(image, 'bin'));
    await makeBase(join(dir, 'base'), 'image', dir, {});
    expect(readlinkSync(join(dir, 'base/bin'))).toBe('/usr/bin');
    expect(readdirSync(join(dir, 'base'))).toEqual(
      expect.arrayContaining(['usr', 'handler', 'host', 'packages', 'runtime']),
    );
  });

  test('an unknown image is an error that names it, and leaves nothing behind', async () => {
    await expect(makeBase(join(dir, 'base'), 'no-such-image:1', dir, {})).rejects.toThrow(/"no-such-image:1"/);
    expect(readdirSync(dir)).toEqual([]);
  });

  test('a file that is not an archive is an error that names it, and leaves nothing behind', async () => {
    writeFileSync(join(dir, 'x.tar.gz'), 'not a tar');
    await expect(makeBase(join(dir, 'base'), 'x.tar.gz', dir, {})).rejects.toThrow(/could not unpack .*x\.tar\.gz/);
    expect(readdirSync(dir)).toEqual(['x.tar.gz']);
  });
});

test("helper.conf names a root for every directory outside of the worker's own", () => {
  const config = { worker_dir: '/ol/worker', Pkgs_dir: '/big/packages', sock_base_path: '/ol/lambda' };
  expect(helperConfText('/ol', config, '/opt/guest').split('\n').slice(1)).toEqual([
    'root /ol',
    'root /big/packages',
    'sandbox_uids 2000000000 134217728',
    'guest /opt/guest',
    '',
  ]);
});
