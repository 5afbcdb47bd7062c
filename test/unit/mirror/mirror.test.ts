import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { buildPackages } from '../../../packages-mirror/builder';
import { JSON_TYPE, normalizeProject, projectOf } from '../../../packages-mirror/pages';
import { startTestMirror, type TestMirror } from '../../support/mirror';

const run = promisify(execFile);
const PYTHON = '/usr/bin/python3';

let mirror: TestMirror;
let scratch: string;

beforeAll(async () => {
  mirror = await startTestMirror();
  scratch = mkdtempSync(join(tmpdir(), 'argyle-mirror-'));
}, 120_000);

afterAll(async () => {
  await mirror.close();
  rmSync(scratch, { recursive: true, force: true });
});

async function pip(...args: string[]): Promise<string> {
  const command = ['-m', 'pip', '--isolated', ...args, '--no-cache-dir', '--index-url', mirror.url];
  const { stdout, stderr } = await run(PYTHON, command, { timeout: 60_000 });
  return stdout + stderr;
}

async function status(path: string, init: RequestInit = {}): Promise<number> {
  return (await fetch(new URL(path, mirror.url), { redirect: 'manual', ...init })).status;
}

describe('a mirror served to pip', () => {
  test('pip downloads the newest versions of a package and its dependencies, and checks hashes', async () => {
    const dir = join(scratch, 'closure');
    await pip('download', '-q', '-d', dir, 'argyle-sample-frame');
    expect(readdirSync(dir).sort()).toEqual([
      'argyle_sample_cost-1.0.0-py3-none-any.whl',
      'argyle_sample_frame-2.0.0-py3-none-any.whl',
      'argyle_sample_numeric-2.0.0-py3-none-any.whl',
      'argyle_sample_text-1.1.0-py3-none-any.whl',
      'argyle_sample_tiny-2.0.0-py3-none-any.whl',
    ]);
  }, 60_000);

  test('pip finds a pinned version under any spelling of the name', async () => {
    const dir = join(scratch, 'pinned');
    await pip('download', '-q', '--no-deps', '-d', dir, 'Argyle_Sample.Tiny==1.1.0');
    expect(readdirSync(dir)).toEqual(['argyle_sample_tiny-1.1.0-py3-none-any.whl']);
  }, 60_000);

  test('an installed package runs and returns its version', async () => {
    const target = join(scratch, 'installed');
    await pip('install', '-q', '-t', target, 'argyle-sample-web==1.0.0', 'argyle-sample-frame==1.0.0');
    const script = [
      'import argyle_sample_tiny, argyle_sample_numeric, argyle_sample_frame, argyle_sample_web',
      'frame = argyle_sample_frame.Frame({"Size": [1, 3], "kind": ["a", "b"]})',
      'print(argyle_sample_tiny.__version__, argyle_sample_numeric.__version__, frame.group_by("kind"))',
    ].join('\n');
    const { stdout } = await run(PYTHON, ['-c', script], { env: { PYTHONPATH: target } });
    expect(stdout).toBe("2.0.0 2.0.0 {'a': {'size': 1.0}, 'b': {'size': 3.0}}\n");
  }, 60_000);

  test('the import cost of a package can be set', async () => {
    const target = join(scratch, 'cost');
    await pip('install', '-q', '-t', target, 'argyle-sample-heavy');
    const script = 'import argyle_sample_heavy as h; print(h.import_ms, h.import_mb, h.held_mb())';
    const env = { PYTHONPATH: target };
    expect((await run(PYTHON, ['-c', script], { env })).stdout).toBe('300 30 30.0\n');
    const cheap = await run(PYTHON, ['-c', script], { env: { ...env, ARGYLE_SAMPLE_HEAVY: '1:2' } });
    expect(cheap.stdout).toBe('1.0 2.0 2.0\n');
  }, 60_000);

  test('a source distribution installs with a working setup script, and fails with a failing one', async () => {
    const target = join(scratch, 'sdist');
    await pip('install', '-q', '-t', target, 'argyle-sample-oldsetup');
    expect(readdirSync(target)).toContain('argyle_sample_oldsetup');
    await expect(pip('install', '-t', join(scratch, 'none'), 'argyle-sample-badsetup')).rejects.toThrow(
      'argyle-sample-badsetup refuses to be installed',
    );
  }, 60_000);

  test('an unknown package is refused by pip', async () => {
    await expect(pip('download', '-d', scratch, 'argyle-sample-nothing')).rejects.toThrow(
      'No matching distribution found for argyle-sample-nothing',
    );
  }, 60_000);
});

describe('the index', () => {
  test('lists every project once, and its files with their digests', async () => {
    const root = await (await fetch(mirror.url)).text();
    expect(root.match(/<a href="\/simple\/argyle-sample-tiny\/">argyle-sample-tiny<\/a>/g)).toHaveLength(1);
    const page = await (await fetch(`${mirror.url}argyle-sample-tiny/`)).text();
    const links = [...page.matchAll(/href="([^"#]+)#sha256=([0-9a-f]{64})"/g)];
    expect(links).toHaveLength(3);
    for (const [, path = '', digest] of links) {
      const file = Buffer.from(await (await fetch(new URL(path, mirror.url))).arrayBuffer());
      expect(createHash('sha256').update(file).digest('hex')).toBe(digest);
    }
  });

  test('returns JSON to clients that ask for it', async () => {
    const response = await fetch(`${mirror.url}argyle-sample-json/`, { headers: { accept: JSON_TYPE } });
    expect(response.headers.get('content-type')).toBe(JSON_TYPE);
    expect(await response.json()).toMatchObject({
      meta: { 'api-version': '1.0' },
      name: 'argyle-sample-json',
      files: [{ filename: 'argyle_sample_json-1.0.0-py3-none-any.whl' }],
    });
  });

  test('redirects other spellings and missing slashes, and answers no other path', async () => {
    const moved = await fetch(`${mirror.url}Argyle_Sample.Tiny/`, { redirect: 'manual' });
    expect([moved.status, moved.headers.get('location')]).toEqual([301, '/simple/argyle-sample-tiny/']);
    expect(await status('/simple/argyle-sample-tiny')).toBe(301);
    expect(await status('/simple/unknown/')).toBe(404);
    expect(await status('/packages/..%2f..%2fpackage.json')).toBe(404);
    expect(await status('/packages/main.ts')).toBe(404);
    expect(await status('/simple/', { method: 'POST' })).toBe(405);
    const head = await fetch(mirror.url, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  test('parses names of files and projects', () => {
    expect(normalizeProject('A._-b')).toBe('a-b');
    expect(projectOf('foo_bar-1.0-py3-none-any.whl')).toBe('foo-bar');
    expect(projectOf('foo_bar-1.0-1-py3-none-any.whl')).toBe('foo-bar');
    expect(projectOf('foo-bar-1.0.tar.gz')).toBe('foo-bar');
    expect(projectOf('packages.stamp')).toBeUndefined();
  });
});

describe('the builder', () => {
  test('builds equal wheels from equal sources, also in concurrent builds', async () => {
    const other = join(scratch, 'again');
    const [first, second] = await Promise.all([buildPackages(other), buildPackages(other)]);
    expect(first).toBe(second);
    const wheels = readdirSync(mirror.dir).filter((name) => name.endsWith('.whl'));
    expect(readdirSync(first).sort()).toEqual(readdirSync(mirror.dir).sort());
    for (const wheel of wheels) {
      expect(readFileSync(join(first, wheel)).equals(readFileSync(join(mirror.dir, wheel)))).toBe(true);
    }
  }, 120_000);
});
