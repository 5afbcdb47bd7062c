import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PackageFixture } from '../../support/package-fixture';

jest.setTimeout(60_000);

const TINY = 'argyle-sample-tiny==1.0.0';
const fx = new PackageFixture();

describe('what is found on disk', () => {
  test('an interrupted install of ours is swept at the next start', async () => {
    mkdirSync(join(fx.pkgsDir, '.stage-4194305-00/files/half'), { recursive: true });
    const shared = fx.installer();
    await shared.start();
    expect(fx.onDisk()).toEqual([]);
  });

  test('a staging directory of another worker that runs is left alone', async () => {
    const name = `.stage-${process.ppid}-00`;
    mkdirSync(join(fx.pkgsDir, name));
    await fx.installer().start();
    expect(fx.onDisk()).toEqual([name]);
  });

  test("the original's whole package is adopted: metadata once, no second install", async () => {
    await fx.installer().ensure(['argyle-sample-frame==1.0.0']);
    rmSync(join(fx.pkgsDir, 'argyle-sample-frame==1.0.0/argyle.json'));
    fx.sandbox.boots.length = 0;
    const adopting = await fx.installer().ensure(['argyle-sample-frame==1.0.0']);
    expect(adopting).toEqual([{ spec: 'argyle-sample-frame==1.0.0', modules: ['argyle_sample_frame'] }]);
    expect(fx.sandbox.boots).toMatchObject([{ argv: [], target: '/packages/argyle-sample-frame==1.0.0/files' }]);
    await fx.installer().ensure(['argyle-sample-frame==1.0.0']);
    expect(fx.sandbox.boots).toHaveLength(1);
    expect(fx.onDisk()).toEqual(['argyle-sample-frame==1.0.0']);
  });

  test("the original's interrupted install counts as nothing", async () => {
    mkdirSync(join(fx.pkgsDir, TINY, 'files/argyle_sample_tiny'), { recursive: true });
    expect(await fx.installer().ensure([TINY])).toEqual([{ spec: TINY, modules: ['argyle_sample_tiny'] }]);
    expect(fx.sandbox.boots[0]?.argv[0]).toBe('install');
    expect(existsSync(join(fx.pkgsDir, TINY, 'files/argyle_sample_tiny/__init__.py'))).toBe(true);
    expect(fx.onDisk()).toEqual([TINY]);
  });

  test('a marker that makes no sense is not trusted', async () => {
    await fx.installer().ensure([TINY]);
    writeFileSync(join(fx.pkgsDir, TINY, 'argyle.json'), '{"spec":"other"}');
    expect(await fx.installer().ensure([TINY])).toEqual([{ spec: TINY, modules: ['argyle_sample_tiny'] }]);
  });
});
