/** The file with the guest's modules, and the start of a guest without this file. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const HELPER = resolve(__dirname, '../../../sandbox-helper');
const PYTHON = '/usr/bin/python3';

describe('guest.pack', () => {
  let dir: string;
  const run = () => spawnSync(PYTHON, ['-I', '-S', join(dir, 'main.py'), 'nobody'], { encoding: 'utf8' });
  const pack = join(HELPER, 'pack.py');

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'argyle-pack-'));
    cpSync(join(HELPER, 'guest'), dir, { recursive: true });
    expect(spawnSync(PYTHON, ['-I', pack, dir]).status).toBe(0);
  });

  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  it('has the modules that every guest needs, so no file is searched', () => {
    for (const name of ['channel', 'boot', 'http/server', 'apps/leaf', 'start'])
      writeFileSync(join(dir, `${name}.py`), 'raise');
    const { status, stderr } = run();
    expect([status, stderr]).toEqual([2, "guest: ROLE must be leaf, zygote or installer, got ['nobody']\n"]);
  });

  it.each([
    ['of another Python', (file: string) => writeFileSync(file, Buffer.from('another Python and its code'))],
    ['that is empty', (file: string) => writeFileSync(file, '')],
    ['that is missing', (file: string) => rmSync(file)],
  ])('%s is ignored, and the files are found one by one', (_, spoil) => {
    spoil(join(dir, 'guest.pack'));
    expect(run().status).toBe(2);
    writeFileSync(join(dir, 'start.py'), 'raise SystemExit(9)\n');
    expect(run().status).toBe(9);
  });

  it('contains compiled code with the file names that a sandbox sees', () => {
    expect(readFileSync(join(dir, 'guest.pack')).includes('/runtime/http/server.py')).toBe(true);
  });
});
