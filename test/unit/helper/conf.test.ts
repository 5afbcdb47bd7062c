import { checkIds, loadHelperConf, parseHelperConf, rootedPath } from '../../../src/helper/conf';
import { describeExit, helperError } from '../../../src/helper/errors';
import { helloFields, packEndpoint } from '../../../src/helper/session';
import type { Completion } from '../../../src/helper/protocol';

const conf = parseHelperConf(
  '# roots\nroot /srv/ol\nsandbox_uids 70000 8192\nroot /srv/ol/deep/\n  root /data/a b\n',
  'helper.conf',
);

describe('helper.conf', () => {
  it('keeps the order of root lines', () => {
    expect(conf.roots).toEqual(['/srv/ol', '/srv/ol/deep/', '/data/a b']);
  });

  it('refuses relative roots, no roots and a missing file, with their names', () => {
    expect(() => parseHelperConf('root srv', 'h.conf')).toThrow('h.conf: root "srv" is not an absolute path');
    expect(() => parseHelperConf('group argyle', 'h.conf')).toThrow('no root line');
    expect(() => loadHelperConf('/nonexistent/h.conf')).toThrow('/nonexistent/h.conf');
  });

  it('contains the ids of sandboxes, and refuses other forms of this key', () => {
    expect(conf.ids).toEqual({ first: 70000, count: 8192 });
    for (const line of ['sandbox_uid 64321', 'sandbox_uids 64321', 'sandbox_uids -1 8192'])
      expect(() => parseHelperConf(`root /srv\n${line}\n`, 'h.conf')).toThrow(
        'h.conf: no line "sandbox_uids FIRST COUNT"',
      );
  });

  it.each([
    ['/etc/passwd', 'root:x:0:0::/:/bin/sh\nann:x:78191:100::/:/bin/sh\n', 'gives 78191 to "ann"'],
    ['/etc/group', 'staff:x:70000:ann\n', 'gives 70000 to "staff"'],
    ['/etc/subuid', 'ann:65536:65536\n', 'gives 65536 to "ann"'],
    ['/etc/subgid', 'ann:78000:65536\n', 'gives 78000 to "ann"'],
  ])('refuses ids that %s gives to an account', (file, text, why) => {
    const check = (own: string) => () => {
      checkIds(conf.ids, 'h.conf', (path) => (path === file ? own : ''));
    };
    expect(check(text)).toThrow(`h.conf: sandbox_uids 70000 8192 are not free: ${file} ${why}`);
    const beside = text.replace('78191', '78192').replace('70000', '69999').replace('65536:65536', '4464:65536');
    expect(check(`\n# x\n${beside.replace('78000', '78192')}`)).not.toThrow();
  });

  it('uses the deepest root of a directory', () => {
    expect(rootedPath(conf, 'worker_dir', '/srv/ol/w/worker')).toEqual({ index: 0, path: 'w/worker' });
    expect(rootedPath(conf, 'worker_dir', '/srv/ol/deep/w')).toEqual({ index: 1, path: 'w' });
    expect(rootedPath(conf, 'worker_dir', '/srv/ol')).toEqual({ index: 0, path: '.' });
    expect(rootedPath(conf, 'worker_dir', '/data/a b/..c')).toEqual({ index: 2, path: '..c' });
  });

  it.each(['/srv/olx', '/srv', '/', '/srv/ol/../x'])('reports that %s is below no root', (dir) => {
    expect(() => rootedPath(conf, 'Pkgs_dir', dir)).toThrow(`Pkgs_dir "${dir}" lies below no root`);
  });

  it('makes the fields of the first message', () => {
    const settings = {
      workerDir: '/srv/ol/w/worker',
      packagesDir: '/data/a b/packages',
      baseDir: '/srv/ol/w/lambda',
      cgroupName: 'w-sandboxes',
      hostUsr: true,
      seccomp: true,
      network: 'outbound' as const,
      installerEndpoints: [],
    };
    expect(helloFields(conf, settings)).toEqual({
      flags: 4,
      arg: [0, 2, 0],
      name: ['w/worker', 'packages', 'w/lambda', 'w-sandboxes'],
    });
  });

  it('packs IPv4 endpoints only', () => {
    expect(packEndpoint('127.0.0.1', 8080)).toBe(0x7f000001 * 65536 + 8080);
    expect(packEndpoint('255.254.253.252', 65535)).toBe(0xfffefdfcffff);
    expect(() => packEndpoint('10.0.0', 80)).toThrow('10.0.0:80');
    expect(() => packEndpoint('::1', 80)).toThrow('::1:80');
    expect(() => packEndpoint('10.0.0.1', 65536)).toThrow('10.0.0.1:65536');
    expect(() => packEndpoint('127.0.0.1', 0)).toThrow('127.0.0.1:0');
    expect(() => packEndpoint('localhost', 80)).toThrow('localhost:80');
  });
});

describe('helper errors', () => {
  const base: Completion = { kind: 1, seq: 1, slot: 1, code: 7, errno: 24, stage: 18, value: [], detail: 'mount' };

  it('carry verb, stage, errno name and detail', () => {
    const error = helperError('SLOT', base);
    expect(error.code).toBe('SANDBOX_CREATE');
    expect(error.message).toBe('helper: SLOT failed with SYS (SLOT EMFILE mount)');
    expect(error.value).toBe('SLOT EMFILE mount');
  });

  it.each([
    [1, 'HELPER_PROTOCOL'],
    [2, 'HELPER_PROTOCOL'],
    [3, 'SANDBOX_STATE'],
    [4, 'SANDBOX_CREATE'],
    [5, 'HELPER_DENIED'],
    [6, 'SANDBOX_CREATE'],
    [8, 'ZYGOTE_FAILED'],
    [99, 'HELPER_PROTOCOL'],
  ])('map ag_code %i to %s', (code, expected) => {
    expect(helperError('FORK', { ...base, code }).code).toBe(expected);
  });

  it('describe exit codes', () => {
    expect(describeExit(11, null)).toMatch(/exit code 11 \(PRIV: not setuid root/);
    expect(describeExit(99, null)).toBe('exit code 99 (#99)');
    expect(describeExit(null, 'SIGKILL')).toBe('killed by SIGKILL');
  });
});
