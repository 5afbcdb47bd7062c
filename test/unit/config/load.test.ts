import { mkdtempSync, readFileSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  configFromTemplate,
  defaultConfig,
  defaultPoolMb,
  examine,
  findTemplate,
  installerLimits,
  loadConfig,
  parseTree,
} from '../../../src/config';
import { renderConfigDocs } from '../../../src/config/docs';

const root = join(__dirname, '../../..');
let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'config-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

/** The value that `run` throws. */
function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (thrown) {
    return thrown;
  }
  return undefined;
}

const save = (name: string, value: unknown) => {
  const path = join(dir, name);
  writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value));
  return path;
};

describe('loadConfig', () => {
  test('loads the files of init, with the tree from its path', () => {
    save('default-zygotes-40.json', { packages: [], children: [{ packages: ['numpy'], split_generation: 1 }] });
    const { config, warnings } = loadConfig(save('config.json', defaultConfig(dir, 4000)));
    expect(config.import_cache_tree).toEqual({ packages: [], children: [{ packages: ['numpy'], children: [] }] });
    expect(config.mem_pool_mb).toBe(3500);
    expect(warnings).toEqual([]);
  });

  test.each([
    ['an object', { children: [{ Packages: ['a'] }] }, 1],
    ['JSON in a string', ' {"packages": [], "children": []} ', 0],
    ['an empty string', '', 0],
  ])('import_cache_tree may be %s', (_name, tree, children) => {
    const { config } = examine({ ...defaultConfig(dir, 4000), import_cache_tree: tree });
    expect(config?.import_cache_tree.children).toHaveLength(children);
  });

  test.each([
    ['/nowhere/tree.json', /import_cache_tree: ENOENT/],
    ['{broken}', /import_cache_tree: .*JSON/],
    [7, /root must be an object, found number 7/],
    [{ packages: ['x'] }, /root.packages must be empty/],
    [{ children: [{ packages: [3] }] }, /root.children\[0\].packages\[0\] must be a string, found number 3/],
    [{ children: {} }, /root.children must be a list, found object/],
  ])('import_cache_tree %j is a problem', (tree, message) => {
    const { problems } = examine({ ...defaultConfig(dir, 4000), import_cache_tree: tree });
    expect(problems).toHaveLength(1);
    expect(problems[0]?.field).toBe('import_cache_tree');
    expect(problems[0]?.message).toMatch(message);
  });

  test('an unused tree is not read', () => {
    const base = defaultConfig(dir, 4000);
    const off = { ...base, features: { ...base.features, import_cache: '' }, import_cache_tree: '/nowhere' };
    expect(examine(off).problems).toEqual([]);
  });

  test('a tree of unlimited depth is refused', () => {
    let tree: unknown = {};
    for (let i = 0; i < 5000; i++) tree = { packages: [], children: [tree] };
    expect(() => parseTree(tree)).toThrow(/deeper than 64 levels/);
  });

  test('errors carry field and value, or the path of an unreadable file', () => {
    const bad = save('config.json', { ...defaultConfig(dir, 4000), worker_dir: 'x' });
    expect(thrownBy(() => loadConfig(bad))).toMatchObject({ field: 'worker_dir', value: '"x"' });
    expect(() => loadConfig(save('broken.json', '{'))).toThrow(/could not read .*broken.json/);
    expect(() => loadConfig(join(dir, 'none.json'))).toThrow(/could not read .*none.json/);
  });
});

describe('a config of an older worker', () => {
  test('loads without the keys of later versions', () => {
    save('default-zygotes-40.json', {});
    const full = defaultConfig(dir, 4000);
    const old: Record<string, unknown> = { ...full };
    for (const later of ['installer_limits', 'kafka', 'argyle', 'storage']) Reflect.deleteProperty(old, later);
    const limits = { ...full.limits, installer_mem_mb: 250, max_runtime_default: 30 };
    const { config, warnings } = loadConfig(save('config.json', { ...old, limits }));
    expect(installerLimits(config)).toMatchObject({ mem_mb: 50, procs: 10, runtime_sec: 30, scratch_mb: 1024 });
    expect(warnings).toHaveLength(2);
  });
});

test("uses the base's packages when Pkgs_dir is missing", () => {
  const base = { ...defaultConfig(dir, 4000), import_cache_tree: {} };
  expect(examine({ ...base, Pkgs_dir: '' }).config?.Pkgs_dir).toBe(join(dir, 'lambda/packages'));
  expect(examine({ ...base, Pkgs_dir: 'x' }).problems[0]?.message).toBe('Pkgs_dir cannot be relative');
});

describe('template', () => {
  test('is found in the working directory, else in its parent', () => {
    mkdirSync(join(dir, 'sub'));
    expect(findTemplate(join(dir, 'sub'))).toBeUndefined();
    const parent = save('template.json', {});
    expect(findTemplate(join(dir, 'sub'))).toBe(parent);
    const own = save('sub/template.json', {});
    expect(findTemplate(join(dir, 'sub'))).toBe(own);
  });

  test('has its empty settings filled with defaults, and keeps the others', () => {
    const template = { worker_port: '6000', sandbox: 'sock', server_mode: 'lambda', registry: 's3://b', extra: 1 };
    const config = configFromTemplate({ ...template, limits: { MEM_MB: 99, runtime_sec: 0 } }, '/d', 8000);
    expect(config).toMatchObject({
      worker_dir: '/d/worker',
      worker_port: '6000',
      registry: 's3://b',
      Pkgs_dir: '/d/lambda/packages',
      sock_base_path: '/d/lambda',
      import_cache_tree: '/d/default-zygotes-40.json',
      mem_pool_mb: 7500,
      limits: { procs: 10, mem_mb: 99, cpu_percent: 100, runtime_sec: 0 },
      installer_limits: { mem_mb: 250, runtime_sec: 300 },
    });
    expect(config.features.import_cache).toBe('');
    expect(config).not.toHaveProperty('extra');
  });

  test('with limits that are all zero gets default limits', () => {
    const zero = { procs: 0, mem_mb: 0, cpu_percent: 0, swappiness: 0, runtime_sec: 0 };
    const template = { worker_port: '1', sandbox: 'sock', server_mode: 'lambda', limits: zero };
    expect(configFromTemplate(template, '/d', 0).limits).toMatchObject({ procs: 10, mem_mb: 50, runtime_sec: 30 });
  });

  test('a wrong type is an error with field and value', () => {
    const wrong = { ...defaultConfig('/d', 0), limits: { procs: 'x' } };
    expect(thrownBy(() => configFromTemplate(wrong, '/d', 0))).toMatchObject({
      code: 'CONFIG_INVALID',
      field: 'limits.procs',
      value: '"x"',
    });
  });
});

test.each([
  [100, 500],
  [900, 500],
  [1000, 500],
  [1001, 501],
  [16000.7, 15500],
])('a machine with %d MB has a pool of %d MB', (total, pool) => {
  expect(defaultPoolMb(total)).toBe(pool);
});

test('docs/config.md is current (npm run docs:config)', () => {
  expect(readFileSync(join(root, 'docs/config.md'), 'utf8')).toBe(renderConfigDocs());
});
