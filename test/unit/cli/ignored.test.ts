import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ignoredIn } from '../../../src/cli/admin/ignored';

describe('the files that an archive excludes', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'ignored-'))));
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  it('are the repository, virtual environments and caches, at any depth', () => {
    const ignored = ignoredIn(dir);
    for (const name of ['.git', '.venv', '__pycache__', 'lib/__pycache__']) expect(ignored(name, true)).toBe(true);
    for (const name of ['lib', '.gitignore.d', 'venv']) expect(ignored(name, true)).toBe(false);
    expect(ignored('f.py', false)).toBe(false);
    expect(ignored('.olignore', false)).toBe(true);
  });

  it('include those that .olignore names', () => {
    writeFileSync(join(dir, '.olignore'), '# data\n*.csv\n/build/\n!keep.csv\n!.venv/\n');
    const ignored = ignoredIn(dir);
    expect(ignored('a/b.csv', false)).toBe(true);
    expect(ignored('keep.csv', false)).toBe(false);
    expect(ignored('build', true)).toBe(true);
    expect(ignored('lib/build', true)).toBe(false);
    expect(ignored('.venv', true)).toBe(false);
  });
});
