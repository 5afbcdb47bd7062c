import { tmpdir } from 'node:os';
import { type DiskSpace, DiskWatch, overuse, readSpace } from '../../../../src/packages/install/disk-watch';

const MB = 1024 * 1024;
const space = (more: Partial<DiskSpace> = {}): DiskSpace => ({
  freeBytes: 50_000 * MB,
  totalBytes: 100_000 * MB,
  freeFiles: 1_000_000,
  totalFiles: 2_000_000,
  ...more,
});

describe('overuse', () => {
  it.each([
    ['nothing', {}, 100, 1, undefined],
    ['all that is allowed', { freeBytes: 49_900 * MB }, 100, 1, undefined],
    ['a byte more', { freeBytes: 49_900 * MB - 1 }, 100, 1, 'it takes more than 100 MB of disk'],
    ['what two may', { freeBytes: 49_800 * MB }, 100, 2, undefined],
    ['more than two may', { freeBytes: 49_800 * MB - 1 }, 100, 2, 'it takes more than 100 MB of disk'],
    ['all files that are allowed', { freeFiles: 1_000_000 - 25_600 }, 100, 1, undefined],
    ['a file more', { freeFiles: 1_000_000 - 25_601 }, 100, 1, 'it makes more than 25600 files'],
    ['much, without a limit', { freeBytes: 2_000 * MB }, 0, 1, undefined],
    ['the reserve, without a limit', { freeBytes: 1_000 * MB }, 0, 1, 'the disk is nearly full'],
    ['less than nothing: others freed some', { freeBytes: 60_000 * MB }, 100, 1, undefined],
    ['files where none are counted', { freeFiles: 0, totalFiles: 0 }, 0, 1, undefined],
  ])('%s', (_what, now, maxMb, installs, reason) => {
    expect(overuse(space(), space(now), maxMb, installs)).toBe(reason);
  });

  it('keeps a twentieth of a small disk free', () => {
    const small = (freeMb: number) => space({ totalBytes: 1000 * MB, freeBytes: freeMb * MB });
    expect(overuse(small(51), small(50), 0, 1)).toBeUndefined();
    expect(overuse(small(51), small(49), 0, 1)).toBe('the disk is nearly full');
  });
});

describe('DiskWatch', () => {
  it('reads a real disk', async () => {
    const { freeBytes, totalBytes } = await readSpace(tmpdir());
    expect(totalBytes).toBeGreaterThan(0);
    expect(freeBytes).toBeLessThanOrEqual(totalBytes);
  });

  it('does not interrupt an install that uses little', async () => {
    const watch = new DiskWatch('/', 100, () => Promise.resolve(space()));
    expect(await watch.during(() => Promise.resolve('done'))).toBe('done');
    await expect(watch.during(() => Promise.reject(new Error('its own')))).rejects.toThrow('its own');
  });

  it('ends an install that uses too much, with the reason', async () => {
    let freeBytes = 50_000 * MB;
    const watch = new DiskWatch('/', 100, () => Promise.resolve(space({ freeBytes })));
    const install = watch.during(
      (signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reject(new Error('aborted'));
          });
          freeBytes -= 101 * MB;
        }),
    );
    await expect(install).rejects.toThrow('it takes more than 100 MB of disk');
  });

  it('starts no install on a nearly full disk', async () => {
    const watch = new DiskWatch('/', 100, () => Promise.resolve(space({ freeBytes: MB })));
    const install = jest.fn();
    await expect(watch.during(install)).rejects.toThrow('the disk is nearly full');
    expect(install).not.toHaveBeenCalled();
  });

  it('continues after a failed reading', async () => {
    let looks = 0;
    const watch = new DiskWatch('/', 100, () => {
      looks++;
      if (looks === 3) return Promise.reject(new Error('EIO'));
      return Promise.resolve(space(looks > 4 ? { freeBytes: 0 } : {}));
    });
    const install = watch.during(
      (signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reject(new Error('aborted'));
          });
        }),
    );
    await expect(install).rejects.toThrow('the disk is nearly full');
  });
});
