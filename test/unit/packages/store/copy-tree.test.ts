import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { type CopyJob, copyTree, staysWithin } from '../../../../src/packages/store/copy-tree';
import { TreeCopier } from '../../../../src/packages/store/tree-copier';
import { hostileEntry, judgeCopy, makeTree } from '../../../support/hostile-trees';

const uid = process.getuid?.() ?? 0;
/** Only root can make devices and links to others' files, and read all of the tree. */
const asRoot = uid === 0 ? test : test.skip;
const INSTALLER = 64321;

let dir: string;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), 'argyle-copy-'));
  fs.mkdirSync(join(dir, 'from'));
});
afterEach(() => {
  execFileSync('rm', ['-rf', dir]);
});

const job = (more: Partial<CopyJob> = {}): CopyJob => ({
  from: join(dir, 'from'),
  to: join(dir, 'to'),
  maxBytes: 1 << 22,
  maxEntries: 1000,
  ...more,
});
const at = (name: string): string => join(dir, name);

asRoot(
  'whatever an installer left, the copy is plain, the worker’s own, and has every file and directory',
  () => {
    fc.assert(
      fc.property(fc.array(hostileEntry, { maxLength: 24 }), (entries) => {
        execFileSync('rm', ['-rf', dir]);
        fs.mkdirSync(at('from'), { recursive: true });
        fs.writeFileSync(at('victim'), 'private');
        makeTree(at('from'), entries);
        execFileSync('chown', ['-hR', `${INSTALLER}:${INSTALLER}`, at('from')]);
        copyTree(job());
        expect(judgeCopy(at('from'), at('to'), uid)).toEqual([]);
        expect(fs.readFileSync(at('victim'), 'utf8')).toBe('private');
      }),
      { numRuns: 100 },
    );
  },
  120_000,
);

test('a link stays within the tree, whatever other links it passes', () => {
  const part = fc.constantFrom('..', '.', 'a', 'b', '');
  const target = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'));
  fc.assert(
    fc.property(fc.array(target, { minLength: 1, maxLength: 6 }), (targets) => {
      const root = fs.mkdtempSync(join(dir, 'links-'));
      const places = ['.', 'a', 'a/a', 'b'];
      for (const place of places) fs.mkdirSync(join(root, place), { recursive: true });
      targets.forEach((text, index) => {
        const place = places[index % places.length] ?? '.';
        const depth = place === '.' ? 0 : place.split('/').length;
        if (staysWithin(Buffer.from(text), depth)) fs.symlinkSync(text, join(root, place, `l${index}`));
      });
      // Links can point to links: each name of the pool may be a link.
      for (const [index] of targets.entries()) {
        const path = join(root, places[index % places.length] ?? '.', `l${index}`);
        if (fs.existsSync(path)) expect(`${fs.realpathSync(path)}/`.startsWith(`${root}/`)).toBe(true);
      }
    }),
  );
});

test.each([
  ['a', 0, true],
  ['../a', 1, true],
  ['../a', 0, false],
  ['../../a', 2, true],
  ['a/..', 3, false],
  ['./../a', 1, true],
  ['/a', 3, false],
  ['', 3, false],
  ['.', 0, true],
])('a link to %j, %i levels deep: %s', (target, depth, isKept) => {
  expect(staysWithin(Buffer.from(target), depth)).toBe(isKept);
});

test('limits apply to bytes with the holes of sparse files, entries and levels', () => {
  fs.closeSync(fs.openSync(at('from/hole'), 'wx'));
  fs.truncateSync(at('from/hole'), 2 ** 40);
  expect(() => copyTree(job())).toThrow('it takes more than 4 MB of disk');
  fs.rmSync(at('from/hole'));
  for (let n = 0; n < 20; n++) fs.writeFileSync(at(`from/${n}`), 'x'.repeat(1000));
  for (const more of [{ maxEntries: 19 }, { maxBytes: 19_999 }]) {
    fs.rmSync(at('to'), { recursive: true, force: true });
    expect(() => copyTree(job(more))).toThrow(/it (makes more than 19 files|takes more than 0 MB of disk)/);
  }
  fs.rmSync(at('to'), { recursive: true });
  expect(copyTree(job({ maxEntries: 20, maxBytes: 20_000 }))).toEqual({ bytes: 20_000, entries: 20, dropped: 0 });
  fs.rmSync(at('to'), { recursive: true });
  fs.mkdirSync(at(`from/${'d/'.repeat(65)}`), { recursive: true });
  expect(() => copyTree(job())).toThrow('it has more than 64 levels of directories');
});

test('one file under a thousand names stays within the limit', () => {
  fs.writeFileSync(at('from/0'), 'x'.repeat(1 << 16));
  for (let n = 1; n < 100; n++) fs.linkSync(at('from/0'), at(`from/${n}`));
  expect(() => copyTree(job())).toThrow('it takes more than 4 MB of disk');
});

test('nothing is copied over existing files, or from a tree that is a link', () => {
  fs.mkdirSync(at('to'));
  expect(() => copyTree(job())).toThrow('EEXIST');
  fs.symlinkSync(at('from'), at('link'));
  expect(() => copyTree(job({ from: at('link'), to: at('other') }))).toThrow(/ENOTDIR|ELOOP/);
});

asRoot('a tree of which another user owns anything is refused where owners are asked for', () => {
  fs.mkdirSync(at('from/a'));
  fs.writeFileSync(at('from/a/f'), '');
  copyTree(job({ owners: [0] }));
  fs.chownSync(at('from/a/f'), INSTALLER, 0);
  expect(() => copyTree(job({ owners: [0], to: at('other') }))).toThrow(`user ${INSTALLER} owns some of it`);
});

asRoot('an ordinary user’s worker says so when it may not read a tree', () => {
  for (const name of ['from', 'parent']) fs.mkdirSync(at(name), { recursive: true });
  fs.chmodSync(dir, 0o755);
  fs.writeFileSync(at('from/secret'), 'x', { mode: 0o600 });
  fs.chownSync(at('from/secret'), INSTALLER, INSTALLER);
  fs.chownSync(at('parent'), 64320, 64320);
  const { seteuid } = process as { seteuid: (id: number) => void };
  seteuid(64320);
  try {
    expect(() => copyTree(job({ to: at('parent/to') }))).toThrow(
      'it holds files or directories that the worker may not',
    );
  } finally {
    seteuid(0);
  }
});

describe('in the thread', () => {
  test('returns results, refusals and errors, one job after the other', async () => {
    fs.writeFileSync(at('from/f'), 'x');
    const copier = new TreeCopier();
    const all = await Promise.allSettled([
      copier.copy(job()),
      copier.copy(job({ maxBytes: 0, to: at('small') })),
      copier.copy(job()),
      copier.copy(job({ to: at('again') })),
    ]);
    expect(all.map((one) => (one.status === 'fulfilled' ? one.value : (one.reason as Error).message))).toEqual([
      { bytes: 1, entries: 1, dropped: 0 },
      'it takes more than 0 MB of disk',
      expect.stringContaining('EEXIST'),
      { bytes: 1, entries: 1, dropped: 0 },
    ]);
  });

  test('ends a copy on request', async () => {
    fs.writeFileSync(at('from/f'), 'x');
    const copier = new TreeCopier();
    await expect(copier.copy(job(), AbortSignal.abort())).rejects.toThrow('it was stopped');
    const large = at('from/large');
    fs.closeSync(fs.openSync(large, 'wx'));
    fs.truncateSync(large, 2 ** 34);
    const startMs = performance.now();
    await expect(copier.copy(job({ to: at('big'), maxBytes: 2 ** 40 }), AbortSignal.timeout(100))).rejects.toThrow(
      'it was stopped',
    );
    expect(performance.now() - startMs).toBeLessThan(3000);
  });
});
