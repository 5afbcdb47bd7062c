/** `ol secret` without a running worker: the command uses files. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { olCommand } from '../../../src/cli';
import { runOl } from '../../support/cli';

const VALUE = 'hunter2-wrdlbrmpfd';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'secret-'));
  mkdirSync(join(cwd, 'w'));
  writeFileSync(join(cwd, 'w/config.json'), '{}');
  for (const [name, text] of [
    ['value', `${VALUE}\n`],
    ['empty', '\n'],
    ['nul', 'a\0b'],
    ['large', 'x'.repeat(70_000)],
  ] as const) {
    writeFileSync(join(cwd, name), text);
  }
});
afterEach(() => {
  rmSync(cwd, { recursive: true });
});
const secret = (...args: string[]) => runOl(['secret', ...args, '-p', 'w'], { cwd, command: olCommand });

test('set, ls and rm keep one private file per secret', async () => {
  expect(await secret('ls')).toMatchObject({
    code: 0,
    out: '',
    err: expect.stringMatching(/^no secrets in /) as string,
  });
  for (const name of ['ZZ', 'DB_PASSWORD', 'ZZ']) {
    const set = await secret('set', name, '-f', 'value');
    expect(set).toMatchObject({ code: 0, err: '' });
    expect(set.out).not.toContain(VALUE);
  }
  const dir = join(cwd, 'w/secrets');
  expect([statSync(dir).mode & 0o777, statSync(join(dir, 'ZZ')).mode & 0o777]).toEqual([0o700, 0o600]);
  expect(readdirSync(dir)).toEqual(['DB_PASSWORD', 'ZZ']);
  expect(readFileSync(join(dir, 'ZZ'), 'utf8')).toBe(`${VALUE}\n`);
  const item = (name: string) => ({
    name,
    bytes: VALUE.length + 1,
    changed: expect.stringMatching(/^\d{4}-.*Z$/) as string,
  });
  expect(JSON.parse((await secret('ls', '--json')).out)).toEqual([item('DB_PASSWORD'), item('ZZ')]);
  expect((await secret('ls')).out).toMatch(/^DB_PASSWORD {2}\d{4}-.*Z\nZZ {11}\d{4}.*Z\n$/);
  expect(await secret('rm', 'ZZ')).toMatchObject({ code: 0, err: '' });
  expect(await secret('rm', 'DB_PASWORD')).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^there is no secret DB_PASWORD in .*; did you mean DB_PASSWORD\?\n$/) as string,
  });
  expect(readdirSync(dir)).toEqual(['DB_PASSWORD']);
});

test('set makes an open directory private', async () => {
  mkdirSync(join(cwd, 'w/secrets'));
  chmodSync(join(cwd, 'w/secrets'), 0o755);
  await secret('set', 'A', '-f', 'value');
  expect(statSync(join(cwd, 'w/secrets')).mode & 0o777).toBe(0o700);
});

test.each([
  [['set'], /^the name of a secret is missing/],
  [['set', 'a-b', '-f', 'value'], /^"a-b" is no name of a secret/],
  [['set', '../X', '-f', 'value'], /is no name of a secret/],
  [['set', 'A', 'value'], /^exactly one name must be given; the value comes from standard input/],
  [['set', 'A', '-f', 'empty'], /^secret A: the value is empty; nothing was set/],
  [['set', 'A', '-f', 'nul'], /NUL byte/],
  [['set', 'A', '-f', 'nowhere'], /^nowhere cannot be read: ENOENT/],
  [['set', 'A', '-f', 'large'], /more than 65536 bytes/],
])('ol secret %j is refused', async (args, message) => {
  const result = await secret(...args);
  expect(result).toMatchObject({ code: 1, out: '', err: expect.stringMatching(message) as string });
  expect((await secret('ls', '--json')).out).toBe('[]\n');
});

test('the error names a directory without a worker', async () => {
  const nowhere = await runOl(['secret', 'ls', '-p', 'nowhere'], { cwd, command: olCommand });
  expect(nowhere).toMatchObject({ code: 1, err: expect.stringMatching(/nowhere is no worker directory/) as string });
});
