import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { Header } from 'tar';
import type { HeaderData } from 'tar';
import {
  linkRefusal,
  readFromArchive,
  readTopFile,
  unpackArchive,
} from '../../../../../src/lambda/code/intake/archive';

/** A .tar.gz of hand-made entries, including entries that no tool would make. */
function entries(...list: (HeaderData & { text?: string })[]): Readable {
  const blocks: Buffer[] = [];
  for (const { text = '', ...data } of list) {
    const block = Buffer.alloc(512);
    new Header({ mode: 0o644, uid: 0, gid: 0, mtime: new Date(0), size: text.length, type: 'File', ...data }).encode(
      block,
    );
    const body = Buffer.alloc(Math.ceil(text.length / 512) * 512);
    body.write(text);
    blocks.push(block, body);
  }
  return Readable.from([gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]))]);
}

describe('unpackArchive', () => {
  let top: string;
  let dir: string;
  beforeEach(async () => {
    top = await mkdtemp(path.join(tmpdir(), 'unpack-'));
    dir = path.join(top, 'code');
    await mkdir(dir);
  });
  afterEach(() => rm(top, { recursive: true }));

  test('unpacks files, directories and inner links, readable for another user', async () => {
    await unpackArchive(
      entries(
        { path: './f.py', text: 'x = 1', mode: 0o600 },
        { path: 'bin/tool', text: '#!', mode: 0o700 },
        { path: 'pkg', type: 'Directory', mode: 0o700, size: 0 },
        { path: 'pkg/deep/link', type: 'SymbolicLink', linkpath: '../../f.py', size: 0 },
      ),
      dir,
    );
    expect(await readFile(path.join(dir, 'pkg/deep/link'), 'utf8')).toBe('x = 1');
    const modes = await Promise.all(['f.py', 'bin', 'bin/tool', 'pkg'].map((name) => stat(path.join(dir, name))));
    expect(modes.map(({ mode }) => (mode & 0o777).toString(8))).toEqual(['644', '755', '755', '755']);
  });

  test.each([
    ['a path above', { path: '../out', text: 'x' }, /".." in its path/],
    ['a hidden path above', { path: 'a/../../out', text: 'x' }, /".." in its path/],
    ['an absolute path', { path: '/tmp/argyle-out', text: 'x' }, /absolute path/],
    ['an absolute link', { path: '.env', type: 'SymbolicLink', linkpath: '/etc/passwd', size: 0 }, /not relative/],
    ['a link outside', { path: 'a/l', type: 'SymbolicLink', linkpath: '../../x', size: 0 }, /lies outside/],
    ['a hard link', { path: 'l', type: 'Link', linkpath: 'f.py', size: 0 }, /is a Link/],
    ['a device', { path: 'null', type: 'CharacterDevice', size: 0 }, /is a CharacterDevice/],
    ['a fifo', { path: 'pipe', type: 'FIFO', size: 0 }, /is a FIFO/],
  ] as [string, HeaderData & { text?: string }, RegExp][])('refuses %s', async (_what, entry, message) => {
    await expect(unpackArchive(entries({ path: 'f.py', text: '1' }, entry), dir)).rejects.toThrow(message);
    await expect(readFromArchive(entries({ path: 'f.py', text: '1' }, entry), 'ol.yaml', 99)).rejects.toThrow(message);
    expect(await readdir(top)).toEqual(['code']);
  });

  test('writes nothing through a link of the archive', async () => {
    const link = { path: 'd', type: 'SymbolicLink', linkpath: 'real', size: 0 } as const;
    const through = entries({ path: 'real', type: 'Directory', size: 0 }, link, { path: 'd/x', text: '1' });
    await unpackArchive(through, dir).catch(() => undefined);
    expect(await readdir(path.join(dir, 'real'))).toEqual([]);
  });

  test.each([
    ['a file below a file', 'f.py/x', 'ENOTDIR: not a directory'],
    ['a name that the disk does not take', `a/${'n'.repeat(300)}`, 'ENAMETOOLONG: name too long'],
    ['a file in place of a full directory', 'pkg', 'ENOTEMPTY: directory not empty'],
  ])('refuses %s with its name in the archive, not with a path of the worker', async (_what, name, why) => {
    // An extended header, because the plain header has room for 255 bytes only.
    const long = ` path=${name}\n`;
    const text = `${long.length + String(long.length + 3).length}${long}`;
    const header = { path: 'header', type: 'ExtendedHeader', text } as const;
    const before = [
      { path: 'f.py', text: '1' },
      { path: 'pkg/a.py', text: '1' },
    ] as const;
    const unpacked = unpackArchive(entries(...before, header, { path: 'x', text: '1' }), dir);
    const shown = name.length > 100 ? `${name.slice(0, 100)}…` : name;
    const message = `cannot unpack function archive: entry "${shown}": ${why}`;
    await expect(unpacked).rejects.toMatchObject({ message });
  });

  test('enforces its limits', async () => {
    const limits = { maxBytes: 10, maxEntries: 2 };
    const many = entries({ path: 'a' }, { path: 'b' }, { path: 'c' });
    await expect(unpackArchive(many, dir, limits)).rejects.toThrow(/more than 2 entries/);
    await expect(unpackArchive(entries({ path: 'a', text: 'x'.repeat(11) }), dir, limits)).rejects.toThrow(/10 bytes/);
  });

  test.each([
    ['no archive at all', Buffer.from('not a tarball, but long enough to look at '.repeat(40))],
    ['cut off', gzipSync(Buffer.alloc(100_000, 'x')).subarray(0, 60)],
    ['nothing', Buffer.alloc(0)],
  ])('reports %s as an error', async (_what, bytes) => {
    await expect(unpackArchive(Readable.from([bytes]), dir)).rejects.toThrow(/cannot unpack function archive/);
    await expect(readFromArchive(Readable.from([bytes]), 'ol.yaml', 99)).rejects.toThrow(/cannot unpack/);
  });

  test('readTopFile() reads a file, and follows no link', async () => {
    await writeFile(path.join(top, 'secret'), 's');
    const link = { path: '.env', type: 'SymbolicLink', linkpath: 'f.py', size: 0 } as const;
    await unpackArchive(entries({ path: 'f.py', text: '1' }, link), dir);
    expect(await readlink(path.join(dir, '.env'))).toBe('f.py');
    await expect(readTopFile(dir, '.env', 99)).rejects.toThrow(/not a regular file/);
    expect(await readTopFile(dir, 'f.py', 99)).toBe('1');
    expect(await readTopFile(dir, 'none', 99)).toBeUndefined();
    await expect(readTopFile(dir, 'f.py', 0)).rejects.toThrow(/limit 0/);
  });

  test('ol.yaml is found with and without ./', async () => {
    for (const name of ['ol.yaml', './ol.yaml']) {
      expect(
        await readFromArchive(entries({ path: 'a', text: '1' }, { path: name, text: 'x: 1' }), 'ol.yaml', 99),
      ).toBe('x: 1');
    }
    expect(await readFromArchive(entries({ path: 'd/ol.yaml', text: 'x' }), 'ol.yaml', 99)).toBeUndefined();
  });
});

test.each([
  ['l', 'f.py', true],
  ['a/b/l', '../../f.py', true],
  ['a/b/l', '../../../f.py', false],
  ['l', 'x/../../f', false],
  ['l', 'x/../f', false],
  ['l', '/f', false],
  ['l', '', false],
  ['l', './x', true],
])('a link %s -> %s is accepted: %s', (entry, target, accepted) => {
  expect(linkRefusal(entry, target) === undefined).toBe(accepted);
});
