import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDirectory, survey } from '../../../../src/packages/store/survey';

describe('survey', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'survey-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  test.each([
    ['six-1.17.0.dist-info', { name: 'six', version: '1.17.0' }],
    ['old_tool-2.1-py3.11.egg-info', { name: 'old_tool', version: '2.1' }],
    ['nothing.dist-info', { name: '', version: '' }],
  ])('reads name and version from %s', async (info, expected) => {
    await mkdir(join(dir, info));
    expect(await survey(dir)).toMatchObject(expected);
  });

  test('is undefined for an unfinished install and for a path that is not a directory', async () => {
    await writeFile(join(dir, 'six.py'), '');
    expect(await survey(dir)).toBeUndefined();
    expect(await survey(join(dir, 'six.py'))).toBeUndefined();
    expect(await survey(join(dir, 'nothing'))).toBeUndefined();
  });

  test('counts the disk use of all files, and follows no link', async () => {
    await mkdir(join(dir, 'six-1.17.0.dist-info'));
    const before = (await survey(dir))?.bytes ?? 0;
    await mkdir(join(dir, 'sub'));
    await writeFile(join(dir, 'sub', 'data'), Buffer.alloc(100_000, 1));
    await symlink('/usr', join(dir, 'host'));
    const added = ((await survey(dir))?.bytes ?? 0) - before;
    expect(added).toBeGreaterThanOrEqual(100_000);
    expect(added).toBeLessThan(200_000);
    await symlink(join(dir, 'sub'), join(dir, 'link'));
    expect([await isDirectory(join(dir, 'sub')), await isDirectory(join(dir, 'link'))]).toEqual([true, false]);
  });
});
