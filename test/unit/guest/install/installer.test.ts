import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Guest, PYTHON } from '../../../support/guest/guest';

const METADATA = `Metadata-Version: 2.1
Name: Sample
Version: 1.0
Requires-Dist: Plain_Name
Requires-Dist: pinned (==1.0)
Requires-Dist: now>=1; python_version >= "3"
Requires-Dist: never; python_version < "3"
Requires-Dist: elsewhere; sys_platform == "win32"
Requires-Dist: optional; extra == "more"
Provides-Extra: more
`;

const INFO = 'sample-1.0.dist-info';
const WHEEL: Record<string, string> = {
  'sample/__init__.py': 'x = 1\n',
  'sample/inner.py': 'y = 2\n',
  'single.py': '',
  '_private.py': '',
  [`${INFO}/METADATA`]: METADATA,
  [`${INFO}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
};

/** Builds the sample wheel in `dir`, with Python's zipfile. */
function buildWheel(dir: string): void {
  const files = { ...WHEEL };
  files[`${INFO}/RECORD`] = [...Object.keys(files), `${INFO}/RECORD`].map((name) => `${name},,\n`).join('');
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(dir, 'src', name)), { recursive: true });
    writeFileSync(path.join(dir, 'src', name), text);
  }
  const tops = ['sample', 'single.py', '_private.py', INFO];
  const argv = ['-m', 'zipfile', '-c', path.join(dir, 'sample-1.0-py3-none-any.whl'), ...tops];
  expect(spawnSync(PYTHON, argv, { cwd: path.join(dir, 'src') }).status).toBe(0);
}

async function run(spec: string, install: boolean, fill?: (target: string) => void) {
  const guest = Guest.start('installer');
  const target = path.join(guest.root, 'host');
  if (fill) fill(target);
  buildWheel(guest.root);
  const options = ['--no-deps', '--no-index', '--find-links', guest.root, '-t', target];
  const result = await guest.line({
    role: 'installer',
    spec,
    target,
    env: { HOME: guest.root, PIP_NO_INPUT: '1', PIP_DISABLE_PIP_VERSION_CHECK: '1' },
    ...(install ? { argv: ['install', ...options, spec] } : {}),
  });
  expect(await guest.exited).toBe(0);
  return { guest, target, result };
}

describe('installer', () => {
  test('installs with pip, reads the dependencies, and compiles for imports without checks', async () => {
    const { guest, target, result } = await run('sample==1.0', true);
    expect(result).toEqual({
      ok: true,
      code: 0,
      deps: ['now', 'pinned', 'plain-name'],
      top_level: ['sample', 'single'],
      output: expect.stringMatching(/Successfully installed Sample-1.0|Successfully installed sample-1.0/) as string,
    });
    const cache = path.join(target, 'sample/__pycache__');
    const compiled = readdirSync(cache);
    expect(compiled).toHaveLength(2);
    // PEP 552: flags 1 mark a hash-based file; without bit 2 Python does not check the source
    for (const name of compiled) expect(readFileSync(path.join(cache, name)).readUInt32LE(4)).toBe(1);
    await guest.stop();
  }, 30_000);

  test('includes the extras that the spec names', async () => {
    const { guest, result } = await run('sample[more]==1.0', true);
    expect(result['deps']).toEqual(['now', 'optional', 'pinned', 'plain-name']);
    await guest.stop();
  }, 30_000);

  test('reports the exit code and the end of the output when pip fails', async () => {
    const { guest, result } = await run('missing==9', true);
    expect(result).toMatchObject({ ok: false, code: 1, deps: [], top_level: [] });
    expect(result['output']).toMatch(/No matching distribution found for missing==9/);
    await guest.stop();
  }, 30_000);

  test('without argv describes the installed package, and writes nothing', async () => {
    const { guest, target, result } = await run('sample==1.0', false, (dir) => {
      for (const name of ['_only.py', `${INFO}/METADATA`]) {
        mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
        writeFileSync(path.join(dir, name), WHEEL[name] ?? '');
      }
    });
    expect(result).toEqual({
      ok: true,
      code: 0,
      deps: ['now', 'pinned', 'plain-name'],
      top_level: ['_only'],
      output: '',
    });
    expect(readdirSync(target).sort()).toEqual(['_only.py', INFO]);
    await guest.stop();
  });

  test.each([
    ['a target that is missing', 'sample==1.0', undefined, /FileNotFoundError/],
    ['a spec that is none', '==', (dir: string) => mkdirSync(dir), /names no package/],
  ])('reports %s', async (_, spec, fill, message) => {
    const { guest, result } = await run(spec, false, fill);
    expect(result).toMatchObject({ ok: false, code: 0, output: expect.stringMatching(message) as string });
    await guest.stop();
  });
});
