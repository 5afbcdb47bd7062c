import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { howToCall } from '../../../src/cli/dev';
import { FolderWatch, treeOf } from '../../../src/cli/dev/watch';
import { until } from '../../support/until';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dev-'));
  for (const sub of ['.venv', 'lib', 'data']) mkdirSync(join(dir, sub));
  writeFileSync(join(dir, 'f.py'), 'one');
  writeFileSync(join(dir, '.olignore'), 'data/\n');
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

test('treeOf() contains the files of an upload, and .olignore', () => {
  const { dirs, stamp } = treeOf(dir);
  expect(dirs).toEqual([dir, join(dir, 'lib')]);
  for (const ignored of ['.venv/x', 'data/x']) writeFileSync(join(dir, ignored), 'x');
  expect(treeOf(dir).stamp).toBe(stamp);
  writeFileSync(join(dir, 'lib/part.py'), '');
  const more = treeOf(dir).stamp;
  expect(more).not.toBe(stamp);
  writeFileSync(join(dir, '.olignore'), '# nothing');
  expect(treeOf(dir).stamp).not.toBe(more);
});

test('FolderWatch reports one change once, also in a new directory', async () => {
  let changes = 0;
  const watch = new FolderWatch(dir, { onChange: () => changes++, onPoll: () => undefined });
  try {
    for (const text of ['two', 'three', 'four']) writeFileSync(join(dir, 'f.py'), text);
    await until('it is told', () => changes === 1);
    mkdirSync(join(dir, 'new'));
    await until('the directory is told', () => changes === 2);
    writeFileSync(join(dir, 'new/x.py'), '');
    await until('its file is told', () => changes === 3);
    writeFileSync(join(dir, 'data/x'), '');
    await new Promise((done) => setTimeout(done, 300));
    expect(changes).toBe(3);
  } finally {
    watch.close();
  }
});

test('howToCall() names the worker', () => {
  expect(howToCall('http://h:1', 'f', 'w')).toContain("ol invoke f -p w -d '{}'\n");
  expect(howToCall('http://h:1', 'f', '')).toContain("ol invoke f -d '{}'\n");
});
