import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CodeDirs } from '../../../../src/lambda/code/directories';
import type { Intake } from '../../../../src/lambda/code/intake/intake';
import { SockCopies, stampOf } from '../../../../src/lambda/sock/sock-code';
import { until } from '../../../support/until';
import { testIntake } from '../../../support/in-process-worker';

const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined };

let dir: string;
let code: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sock-code-'));
  code = join(dir, 'app');
  mkdirSync(join(code, 'lib'), { recursive: true });
  writeFileSync(join(code, 'f.py'), 'def f(event):\n    return 1\n');
  writeFileSync(join(code, 'lib/x.py'), 'X = 1\n');
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

describe('the stamp of code', () => {
  const stamp = (): string | undefined => stampOf(code, 0);

  it('is unchanged while the files are unchanged', () => {
    expect(stamp()).toBeDefined();
    expect(stamp()).toBe(stamp());
  });

  it.each<[string, () => void]>([
    [
      'a file of the same size',
      () => {
        writeFileSync(join(code, 'lib/x.py'), 'X = 2\n');
      },
    ],
    [
      'a file whose old time was set again',
      () => {
        writeFileSync(join(code, 'f.py'), 'def f(event):\n    return 2\n');
        utimesSync(join(code, 'f.py'), 1, 1);
      },
    ],
    [
      'a longer file',
      () => {
        appendFileSync(join(code, 'f.py'), '#\n');
      },
    ],
    [
      'a new file',
      () => {
        writeFileSync(join(code, 'lib/y.py'), '');
      },
    ],
    [
      'a file that is gone',
      () => {
        rmSync(join(code, 'lib/x.py'));
      },
    ],
    [
      'an empty directory',
      () => {
        mkdirSync(join(code, 'lib/z'));
      },
    ],
    [
      'a link in place of a file',
      () => {
        rmSync(join(code, 'lib/x.py'));
        symlinkSync('../f.py', join(code, 'lib/x.py'));
      },
    ],
    [
      'another directory of the name',
      () => {
        rmSync(code, { recursive: true });
        mkdirSync(code);
        writeFileSync(join(code, 'f.py'), 'def f(event):\n    return 1\n');
      },
    ],
  ])('differs after %s', async (_what, change) => {
    const before = stamp();
    // Linux counts change times in ticks.
    await new Promise((resolve) => setTimeout(resolve, 20));
    change();
    expect(stamp()).not.toBe(before);
  });

  it("is that of a link's target directory", () => {
    const link = join(dir, 'link');
    symlinkSync(code, link);
    const before = stampOf(link, 0);
    const other = join(dir, 'other');
    mkdirSync(other);
    rmSync(link);
    symlinkSync(other, link);
    expect(stampOf(link, 0)).not.toBe(before);
  });

  it('is missing for recently changed, missing and large directories', () => {
    expect(stampOf(code)).toBeUndefined();
    expect(stampOf(join(dir, 'nothing'), 0)).toBeUndefined();
    for (let i = 0; i < 200; i++) writeFileSync(join(code, `lib/f${String(i)}.py`), '');
    expect(stamp()).toBeUndefined();
  });
});

describe('copies of code', () => {
  let intake: Intake;
  let copies: SockCopies;
  const root = (): string => join(dir, 'code');
  beforeEach(() => {
    intake = testIntake(dir);
    copies = new SockCopies(new CodeDirs(root(), LOG, intake.remove), intake, 0);
  });
  afterEach(async () => {
    await copies.close();
    await intake.close();
    expect(readdirSync(root())).toEqual([]);
  });
  const take = (path = code) => copies.take(path, 'python');

  it('are shared while the code is unchanged, also by concurrent sandboxes', async () => {
    const [a, b] = await Promise.all([take(), take()]);
    a.release();
    b.release();
    const c = await take();
    expect([a.dir, b.dir]).toEqual([c.dir, c.dir]);
    expect(c).toMatchObject({ entryFile: 'f.py', env: {} });
    expect(readFileSync(join(c.dir, 'lib/x.py'), 'utf8')).toBe('X = 1\n');
    c.release();
  });

  it('are made again after a change, and the old copy ends with its last user', async () => {
    const old = await take();
    await new Promise((resolve) => setTimeout(resolve, 20));
    writeFileSync(join(code, 'lib/x.py'), 'X = 2\n');
    const now = await take();
    expect(readFileSync(join(now.dir, 'lib/x.py'), 'utf8')).toBe('X = 2\n');
    expect(readFileSync(join(old.dir, 'lib/x.py'), 'utf8')).toBe('X = 1\n');
    old.release();
    await until('the old copy is gone', () => !existsSync(old.dir));
    now.release();
    expect(existsSync(now.dir)).toBe(true);
  });

  it('of an archive are unpacked once', async () => {
    const archive = join(dir, 'app.tar.gz');
    execFileSync('tar', ['-czf', archive, '-C', code, '.']);
    const first = await take(archive);
    first.release();
    const second = await take(archive);
    expect(second.dir).toBe(first.dir);
    second.release();
  });

  it('of recently changed code are not shared, and end with their sandbox', async () => {
    const careful = new SockCopies(new CodeDirs(root(), LOG, intake.remove, 'careful-'), intake);
    const [a, b] = await Promise.all([careful.take(code, 'python'), careful.take(code, 'python')]);
    expect(a.dir).not.toBe(b.dir);
    a.release();
    b.release();
    await until('both are gone', () => !existsSync(a.dir) && !existsSync(b.dir));
  });

  it('are kept while unused, the last eight', async () => {
    const dirs: string[] = [];
    for (let i = 0; i < 12; i++) {
      const app = join(dir, `app${String(i)}`);
      mkdirSync(app);
      writeFileSync(join(app, 'f.py'), '');
      const copy = await take(app);
      dirs.push(copy.dir);
      copy.release();
    }
    await until('four are gone', () => dirs.slice(0, 4).every((path) => !existsSync(path)));
    expect(dirs.slice(4).every((path) => existsSync(path))).toBe(true);
  });

  it('of unusable code leave nothing behind', async () => {
    await expect(take(join(dir, 'nothing'))).rejects.toThrow('is neither a directory nor a .tar.gz');
    rmSync(join(code, 'f.py'));
    await expect(take()).rejects.toThrow('no f.py or f.bin found');
    writeFileSync(join(code, 'f.py'), '');
    const mended = await take();
    mended.release();
  });
});
