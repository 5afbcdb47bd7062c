/** Commands find the helper, servers, git repositories and the boss. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isGitUrl } from '../../../src/cli/admin/source';
import { findBoss } from '../../../src/cli/boss';
import { findHelper, guestBeside } from '../../../src/cli/paths';
import { bossTarget, workerTarget } from '../../../src/cli/target';
import { urlOf } from '../../../src/cli/url';
import { olDirOf } from '../../../src/cli/worker/flags';
import { defaultConfig } from '../../../src/config';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'places-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

test('the helper is the configured one, else the built one, else the one beside the worker', () => {
  writeFileSync(join(dir, 'sandbox-helper'), '');
  expect(findHelper('', dir)).toBe(join(dir, 'sandbox-helper'));
  mkdirSync(join(dir, 'build'));
  writeFileSync(join(dir, 'build/sandbox-helper'), '');
  expect(findHelper('', dir)).toBe(join(dir, 'build/sandbox-helper'));
  expect(findHelper(join(dir, 'sandbox-helper'), dir)).toBe(join(dir, 'sandbox-helper'));
  expect(guestBeside('/a/sandbox-helper')).toBe('/a/guest');
  expect(() => findHelper('/nowhere/helper', dir)).toThrow('the sandbox helper is not at /nowhere/helper');
});

test.each([
  ['localhost', '5000', 'http://localhost:5000'],
  ['', '1', 'http://localhost:1'],
  ['0.0.0.0', '1', 'http://localhost:1'],
  ['10.0.0.7', '1', 'http://10.0.0.7:1'],
  ['fd00::1', '1', 'http://[fd00::1]:1'],
])('the URL of a server on %s:%s is %s', (host, port, url) => {
  expect(urlOf(host, port)).toBe(url);
});

test.each([
  ['https://host/a/b.git', true],
  ['git@host:a/b.git', true],
  ['ssh://git@host/b.git', true],
  ['https://host/a/b', false],
  ['ext::sh -c evil.git', false],
  ['--upload-pack=x.git', false],
  ['./dir.git', false],
])('%s is a git URL: %s', (target, expected) => {
  expect(isGitUrl(target)).toBe(expected);
});

describe('targets', () => {
  const save = (path: string, value: unknown) => {
    writeFileSync(join(dir, path), JSON.stringify(value));
  };

  test('without -p are template.json or the default port', () => {
    expect(workerTarget(dir, '', {}).url).toBe('http://localhost:5000');
    save('template.json', { ...defaultConfig('/x', 0), worker_port: '5123' });
    expect(workerTarget(dir, '', { ARGYLE_ADMIN_TOKEN: 't' })).toEqual({ url: 'http://localhost:5123', token: 't' });
  });

  test('with -p are config.json with its token, without the overrides', () => {
    mkdirSync(join(dir, 'w'));
    const config = defaultConfig(join(dir, 'w'), 0);
    const features = { ...config.features, import_cache: '' };
    save('w/config.json', { ...config, features, argyle: { ...config.argyle, admin_token: 'secret' } });
    save('w/config.json.overrides', { ...config, worker_port: '7' });
    expect(workerTarget(dir, 'w', {})).toEqual({ url: 'http://localhost:5000', token: 'secret' });
    expect(() => workerTarget(dir, 'none', {})).toThrow(/no config\.json/);
  });

  test('of the boss have the port of boss.json', () => {
    expect(bossTarget(dir, {}).url).toBe('http://localhost:5000');
    save('boss.json', { Boss_Port: '5001' });
    expect(bossTarget(dir, {}).url).toBe('http://localhost:5001');
  });
});

test('the boss is the program in OL_BOSS, else ol-boss in the working directory, else on PATH', () => {
  mkdirSync(join(dir, 'bin'));
  for (const path of ['ol-boss', 'bin/ol-boss', 'mine']) writeFileSync(join(dir, path), '', { mode: 0o755 });
  const PATH = join(dir, 'bin');
  expect(findBoss(dir, { OL_BOSS: 'mine', PATH })).toBe(join(dir, 'mine'));
  expect(findBoss(dir, { PATH })).toBe(join(dir, 'ol-boss'));
  rmSync(join(dir, 'ol-boss'));
  expect(findBoss(dir, { PATH })).toBe(join(dir, 'bin/ol-boss'));
  chmodSync(join(dir, 'bin/ol-boss'), 0o644);
  expect(findBoss(dir, { PATH })).toBeUndefined();
});

test('a worker directory is resolved to its real path, and may be missing', () => {
  mkdirSync(join(dir, 'real'));
  symlinkSync('real', join(dir, 'link'));
  expect(olDirOf(dir, 'link')).toBe(join(dir, 'real'));
  expect(olDirOf(join(dir, 'link'), 'new')).toBe(join(dir, 'real/new'));
  expect(olDirOf(dir, '/no/such/dir')).toBe('/no/such/dir');
});
