/**
 * `ol zygote fit --today`: counted packages with their current dependencies, which uv resolves from the project's own
 * index.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadTree } from '../../src/config/tree';
import { runOl } from '../support/cli';
import { startTestMirror, type TestMirror } from '../support/mirror';

jest.setTimeout(60_000);

describe('ol zygote fit --today', () => {
  let mirror: TestMirror;
  let dir: string;
  beforeAll(async () => {
    mirror = await startTestMirror();
    dir = mkdtempSync(join(tmpdir(), 'fit-today-'));
    const counted = {
      'argyle-sample-frame==0.1': { 'argyle-sample-frame==0.1': 60 },
      'none-such==1': { 'none-such==1': 5 },
    };
    const files: Record<string, unknown> = {
      'top_500_pkgs.json': { ...counted, 'argyle-sample-tiny==0.1': { 'argyle-sample-tiny==0.1': 900 } },
      'costs.json': { 'argyle-sample-frame==0.1': { ms: 300, mb: 9 }, 'argyle-sample-tiny==0.1': { ms: 8, mb: 1 } },
      'install_import.json': {},
    };
    for (const [name, value] of Object.entries(files)) writeFileSync(join(dir, name), JSON.stringify(value));
  });
  afterAll(async () => {
    await mirror.close();
    rmSync(dir, { recursive: true });
  });

  const fit = (...argv: string[]) => {
    const env = { PATH: process.env['PATH'], HOME: dir, UV_DEFAULT_INDEX: mirror.url };
    return runOl(['zygote', 'fit', ...argv], { cwd: dir, env });
  };

  it('writes a tree of current names, and reports packages without a closure', async () => {
    const { code, out, err } = await fit('--today', '3', '--reqbench', '.', '-o', 'tree.json');
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('passed over none-such: uv finds no wheels for it\n');
    expect(out).toContain('3 counted packages: ');
    const tree = loadTree(readFileSync(join(dir, 'tree.json'), 'utf8'));
    expect(tree.children.map(({ packages }) => packages)).toEqual([['argyle-sample-tiny']]);
    const [frame] = tree.children[0]?.children ?? [];
    // The sample needs text and tiny. The node exists because of this package.
    expect(frame?.packages[0]).toBe('argyle-sample-frame');
    expect(frame?.packages).toContain('argyle-sample-text');
  });

  it.each([
    [['--today', '3'], '--today needs the counts of --reqbench'],
    [['--today', '3', '--reqbench', '.', '--trace', 'x'], '--today and --trace exclude each other'],
    [['--today', '0', '--reqbench', '.'], '--today must be a number from 1 to 500'],
    [['--today', '3', '--reqbench', 'nowhere'], 'reqbench: cannot read'],
    [['--trace', 'x', '--nodes', '0'], '--trace: cannot read'],
  ])('%j is refused: %s', async (argv, message) => {
    const { code, err } = await fit(...argv);
    expect([code, err]).toEqual([1, expect.stringContaining(message) as string]);
  });
});
