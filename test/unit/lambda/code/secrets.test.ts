import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkSecretNames } from '../../../../src/lambda/code/environment';
import { sameSecrets, SecretFiles, secretsDir } from '../../../../src/lambda/code/secrets';
import { call, startWorker, type TestWorker } from '../../../support/in-process-worker';
import { until } from '../../../support/until';

const VALUE = 'hunter2-wrdlbrmpfd';

let top: string;
let dir: string;
let credentials: string;
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'secrets-'));
  [dir, credentials] = [join(top, 'own'), join(top, 'credentials')];
  for (const made of [dir, credentials]) await mkdir(made, { mode: 0o700 });
});
afterEach(() => rm(top, { recursive: true }));

const put = (name: string, value: string | Buffer, mode = 0o600, where = dir): Promise<void> =>
  writeFile(join(where, name), value, { mode });

describe('SecretFiles', () => {
  test('reads text without one final newline', async () => {
    await put('A', `${VALUE}\n`);
    await put('B', 'a\r\n\r\n');
    await put('C', '');
    expect(await new SecretFiles({ dir }).read(['A', 'B', 'C'])).toEqual({ A: VALUE, B: 'a\r\n', C: '' });
  });

  test("reads from the service manager's directory what the worker's lacks", async () => {
    await put('A', 'own');
    await put('A', 'theirs', 0o440, credentials);
    await put('B', 'theirs', 0o440, credentials);
    await put('OPEN', VALUE, 0o444, credentials);
    const secrets = new SecretFiles({ dir, credentials });
    expect(await secrets.read(['A', 'B'])).toEqual({ A: 'own', B: 'theirs' });
    await expect(secrets.read(['OPEN'])).rejects.toThrow(/OPEN is open to other users \(mode 0444\)/);
  });

  test.each([0o640, 0o604, 0o620, 0o666])('refuses a file of mode %o', async (mode) => {
    await put('A', VALUE);
    await chmod(join(dir, 'A'), mode);
    await expect(new SecretFiles({ dir }).read(['A'])).rejects.toMatchObject({
      code: 'LAMBDA_SECRET',
      message: `secret A: ${dir}/A is open to other users (mode 0${mode.toString(8)}): chmod 600 ${dir}/A`,
      field: 'secrets',
      value: 'A',
    });
  });

  test('refuses a directory that others can read, with advice', async () => {
    await put('A', VALUE);
    await chmod(dir, 0o755);
    const refusal = `secret A: ${dir} is open to other users (mode 0755): chmod 700 ${dir}`;
    await expect(new SecretFiles({ dir }).read(['A'])).rejects.toThrow(refusal);
  });

  test('names missing and invalid secrets, never their values', async () => {
    await put('NUL', `${VALUE}\0`);
    await put('BINARY', Buffer.concat([Buffer.from(VALUE), Buffer.from([0xff, 0xfe])]));
    await put('LARGE', VALUE.repeat(8000));
    await mkdir(join(dir, 'DIR'), { mode: 0o700 });
    await put('GOOD', VALUE);
    const problems = await new SecretFiles({ dir }).problems(['NONE', 'NUL', 'BINARY', 'LARGE', 'DIR', 'GOOD']);
    expect(problems).toEqual([
      'secret NONE: it is not set: ol secret set NONE',
      expect.stringMatching(/^secret NUL: it has a NUL byte/),
      expect.stringMatching(/^secret BINARY: it is no UTF-8 text/),
      expect.stringMatching(/^secret LARGE: .* has more than 65536 bytes/),
      expect.stringMatching(/^secret DIR: .* is no regular file/),
    ]);
    expect(problems.join()).not.toContain(VALUE);
  });

  test('limits the sum of the sizes', async () => {
    const names = ['A', 'B', 'C', 'D', 'E'];
    for (const name of names) await put(name, 'x'.repeat(60_000));
    await expect(new SecretFiles({ dir }).read(names)).rejects.toThrow(/more than 262144 bytes/);
    expect(Object.keys(await new SecretFiles({ dir }).read(names.slice(0, 4)))).toHaveLength(4);
  });
});

test('the directory of secrets is beside the worker, unless a setting names another', () => {
  expect(secretsDir('', '/srv/ol/worker')).toBe('/srv/ol/secrets');
  expect(secretsDir('/etc/keys', '/srv/ol/worker')).toBe('/etc/keys');
});

test('sameSecrets() compares names and values', () => {
  expect(sameSecrets({ A: '1' }, { A: '1' })).toBe(true);
  for (const other of [{ A: '2' }, { B: '1' }, {}, { A: '1', B: '1' }])
    expect(sameSecrets({ A: '1' }, other)).toBe(false);
});

test('a name is either a secret or a variable, and OL_ENTRY_FILE cannot be a secret', () => {
  expect(() => {
    checkSecretNames(['A'], { A: 'x' });
  }).toThrow('A is in secrets and in the environment: remove it from one of them');
  expect(() => {
    checkSecretNames(['OL_ENTRY_FILE'], {});
  }).toThrow(/OL_ENTRY_FILE cannot be a secret/);
  expect(() => {
    checkSecretNames(['B'], { A: 'x' });
  }).not.toThrow();
});

describe('a function with secrets', () => {
  const F = 'import os\ndef f(event):\n    return [os.getpid(), os.environ["A"]]\n';
  let worker: TestWorker;
  const ask = () => call(worker, '/run/f', { method: 'POST', body: '{}' });
  const answer = async () => JSON.parse((await ask()).body) as [number, string];

  beforeEach(async () => {
    worker = await startWorker({ secrets: new SecretFiles({ dir }), settings: { registryCacheMs: 60_000 } });
    await worker.deploy('f', { 'f.py': F, 'ol.yaml': 'secrets: [A]\n' });
  });
  afterEach(() => worker.close());

  test('fails until its secrets are set, and gets each change in new instances', async () => {
    for (let i = 0; i < 2; i++) {
      const refused = await ask();
      expect([refused.status, refused.headers['x-argyle-error'], refused.body]).toEqual([
        500,
        'LAMBDA_SECRET',
        'secret A: it is not set: ol secret set A\n',
      ]);
    }
    await put('A', 'one');
    const [first, one] = await answer();
    expect(one).toBe('one');
    worker.advance(60_000);
    expect(await answer()).toEqual([first, 'one']);
    await put('A', 'two');
    expect(await answer()).toEqual([first, 'one']);
    worker.advance(60_000);
    const [second, two] = await answer();
    expect(two).toBe('two');
    expect(second).not.toBe(first);
    await until('the old instance is gone', () => worker.provider.live.size === 1);
  });

  test('loses its instances soon after a secret was removed', async () => {
    await put('A', 'one');
    await answer();
    await rm(join(dir, 'A'));
    worker.advance(60_000);
    expect((await ask()).status).toBe(500);
    await until('no instance is left', () => worker.provider.live.size === 0);
    await put('A', 'one');
    expect((await answer())[1]).toBe('one');
  });

  test('keeps its code when secrets change, and removes the code at the end', async () => {
    const { manager } = worker;
    for (const value of ['one', 'two', 'three']) {
      await put('A', value);
      worker.advance(60_000);
      expect((await answer())[1]).toBe(value);
    }
    await call(worker, '/registry/f', { method: 'DELETE' });
    worker.advance(60_000);
    expect((await ask()).body).toContain('not found in blob store');
    await until('it is forgotten', () => manager.size === 0 && worker.provider.live.size === 0);
  });
});
