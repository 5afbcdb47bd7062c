import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { memoryDirOf, openMemoryDir, removeMemoryDir } from '../../../../src/sandbox/slot/memory-dir';

describe('the directory in memory', () => {
  let memory: string;

  beforeEach(() => {
    memory = mkdtempSync('/dev/shm/argyle-memory-dir-');
  });

  afterEach(() => {
    rmSync(memory, { recursive: true });
  });

  it('is accessible only to its owner, and unique for each worker directory', () => {
    const dir = openMemoryDir('/some/worker', memory) ?? '';
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(openMemoryDir('/some/other', memory)).not.toBe(dir);
    expect(readdirSync(memory)).toHaveLength(2);
    expect(openMemoryDir('/some/worker/', memory)).toBe(dir);
  });

  it('loses the files of a killed worker, and is removed at the end', () => {
    const dir = openMemoryDir('/some/worker', memory) ?? '';
    writeFileSync(join(dir, '1-1.sock'), '');
    expect(openMemoryDir('/some/worker', memory)).toBe(dir);
    expect(readdirSync(dir)).toEqual([]);
    writeFileSync(join(dir, '1-1.sock'), '');
    removeMemoryDir('/some/worker', memory);
    expect(existsSync(dir)).toBe(false);
    removeMemoryDir('/some/worker', memory);
  });

  it('does not follow a link of another user in its place', () => {
    const elsewhere = join(memory, 'elsewhere');
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, 'file'), '');
    symlinkSync(elsewhere, memoryDirOf('/some/worker', memory) ?? '');
    const dir = openMemoryDir('/some/worker', memory) ?? '';
    expect(readdirSync(dir)).toEqual([]);
    expect(readdirSync(elsewhere)).toEqual(['file']);
  });

  it('is missing without a file system in memory', () => {
    expect(openMemoryDir('/some/worker', '/proc')).toBeUndefined();
    expect(openMemoryDir('/some/worker', join(memory, 'missing'))).toBeUndefined();
  });
});
