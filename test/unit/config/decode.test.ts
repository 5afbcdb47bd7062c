import { applyOverrides } from '../../../src/config/overrides';
import { checkConfig } from '../../../src/config/check';
import { decode } from '../../../src/config/decode';
import { defaultConfig } from '../../../src/config/defaults';
import fc from 'fast-check';

const defaults = () => structuredClone(defaultConfig('/srv/ol', 8000)) as unknown as Record<string, unknown>;

describe('decode', () => {
  test("gives missing keys the original's zero values, and Argyle's own keys their defaults", () => {
    const { problems } = decode({});
    expect(problems.map((p) => p.message)).toEqual([
      'worker_port must be a port number from 0 to 65535 (current="")',
      "Unknown Sandbox type ''",
      'unknown server_mode ""',
    ]);
    const { file } = decode({ worker_port: '1', sandbox: 'sock', server_mode: 'sock' });
    expect(file?.limits).toEqual({
      procs: 0,
      mem_mb: 0,
      cpu_percent: 0,
      swappiness: 0,
      runtime_sec: 0,
      scratch_mb: 256,
    });
    expect(file?.features.import_cache).toBe('');
    expect(file?.log_output).toBe(false);
    expect(file?.kafka.cache_size).toBe(0);
    expect(file?.kafka.commit_failed).toBe(false);
    expect(file?.argyle.network).toBe('outbound');
    expect(file?.argyle.function_queue).toBe(1024);
  });

  test('gives missing keys the values that docs/config.md documents', () => {
    const { file } = decode({ worker_port: '1', sandbox: 'sock', server_mode: 'sock' });
    const { limits, installer_limits: installers, argyle, ...others } = file as unknown as ReturnType<typeof defaults>;
    const of = (key: string) => defaults()[key] as Record<string, unknown>;
    expect(argyle).toEqual(of('argyle'));
    for (const [key, value] of Object.entries({ limits, installer_limits: installers })) {
      expect(value).toMatchObject({ procs: 0, mem_mb: 0, runtime_sec: 0, scratch_mb: of(key)['scratch_mb'] });
    }
    const leaves = Object.values(others).flatMap((value) =>
      typeof value === 'object' && value !== null ? Object.values(value as Record<string, unknown>) : [value],
    );
    expect(leaves.filter((value) => ![0, false, '', '1', 'sock'].includes(value as string))).toEqual([]);
  });

  test('keys match in any case at every level', () => {
    const { file, warnings } = decode({
      ...defaults(),
      Pkgs_dir: undefined,
      pkgs_DIR: '/p',
      limits: undefined,
      LIMITS: { Mem_MB: 77 },
      Features: { Import_Cache: 'multitree' },
      features: undefined,
    });
    expect(file?.Pkgs_dir).toBe('/p');
    expect(file?.limits.mem_mb).toBe(77);
    expect(file?.features.import_cache).toBe('multitree');
    expect(warnings).toEqual([]);
  });

  test('accepts any spelling of any top-level key', () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(defaults())), fc.infiniteStream(fc.boolean()), (key, upper) => {
        const spelled = Array.from(key, (c) => (upper.next().value ? c.toUpperCase() : c.toLowerCase())).join('');
        const { [key]: value, ...rest } = defaults();
        return JSON.stringify(decode({ ...rest, [spelled]: value }).file) === JSON.stringify(decode(defaults()).file);
      }),
      { numRuns: 100 },
    );
  });

  test('merges a repeated key into the same group, and ignores null', () => {
    const { file } = decode({ ...defaults(), limits: { procs: 3 }, LIMITS: { mem_mb: 4 }, sandbox_config: null });
    expect(file?.limits).toMatchObject({ procs: 3, mem_mb: 4 });
    expect(file?.sandbox_config).toEqual({});
  });

  test('ignores unknown keys with a warning that names them', () => {
    const { file, warnings } = decode({ ...defaults(), foo: 1, kafka: { bar: [2] } });
    expect(file).toBeDefined();
    expect(warnings).toEqual(['unknown key "foo" ignored', 'unknown key "kafka.bar" ignored']);
  });

  test.each([
    ['worker_port', 5000, 'json: cannot unmarshal number 5000 into field worker_port of type string'],
    ['limits', { mem_mb: '50' }, 'json: cannot unmarshal string into field limits.mem_mb of type int'],
    ['limits', { mem_mb: 1.5 }, 'json: cannot unmarshal number 1.5 into field limits.mem_mb of type int'],
    ['limits', [], 'json: cannot unmarshal array into field limits of type object'],
    [
      'features',
      { enable_seccomp: 'true' },
      'json: cannot unmarshal string into field features.enable_seccomp of type bool',
    ],
    [
      'features',
      { import_cache: 3 },
      'json: cannot unmarshal number 3 into field features.import_cache of type string',
    ],
    ['sandbox', true, 'json: cannot unmarshal bool into field sandbox of type string'],
    ['sandbox_config', 'x', 'json: cannot unmarshal string into field sandbox_config of type object'],
    ['sandbox', 'foo', "Unknown Sandbox type 'foo'"],
    ['server_mode', 'foo', 'unknown server_mode "foo"'],
    ['features', { import_cache: 'foo' }, "ZygoteProvider 'foo' is not implemented"],
    ['storage', { root: 'foo' }, 'storage.root must be one of "", "private", "memory" (current="foo")'],
    ['argyle', { network: 'foo' }, 'argyle.network must be one of "outbound", "none", "host" (current="foo")'],
    ['limits', { procs: -1 }, 'limits.procs must be at least 0 (current=-1)'],
    ['worker_port', '65536', 'worker_port must be a port number from 0 to 65535 (current="65536")'],
  ])('%s = %j is an error', (key, value, message) => {
    const { file, problems } = decode({ ...defaults(), [key]: value });
    expect(file).toBeUndefined();
    expect(problems.map((p) => p.message)).toEqual([message]);
    expect(problems[0]?.field).toContain(key);
  });

  test.each([[null], [[]], ['x'], [3]])('a file with %j is an error', (json) => {
    expect(decode(json).problems[0]?.message).toMatch(/cannot unmarshal .* of type object/);
  });

  test('never throws for arbitrary JSON, and returns either settings or problems', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(...Object.keys(defaults())), (value, key) => {
        const { file, problems } = decode({ ...defaults(), [key]: value });
        return (file === undefined) === problems.length > 0;
      }),
      { numRuns: 200 },
    );
  });
});

describe('a key with a former name', () => {
  it.each([
    [{ rehearsal_calls: 7 }, 7],
    [{ Rehearsal_Calls: 8 }, 8],
    [{ rehearsal_calls: 7, warmup_calls: 9 }, 9],
  ])('remains valid: %j', (argyle, calls) => {
    const { file, problems, warnings } = decode({ worker_port: '1', sandbox: 'sock', server_mode: 'sock', argyle });
    expect([file?.argyle.warmup_calls, problems, warnings]).toEqual([calls, [], []]);
  });

  it.each([{}, { warmup_calls: 5 }, { rehearsal_calls: 5 }])('can be set on the command line: %j', (argyle) => {
    for (const name of ['rehearsal_calls', 'warmup_calls']) {
      const written = { worker_port: '1', sandbox: 'sock', server_mode: 'sock', argyle };
      const { file } = decode(applyOverrides(written, `argyle.${name}=3`));
      expect(file?.argyle.warmup_calls).toBe(3);
    }
  });
});

describe('checkConfig', () => {
  const base = () => defaultConfig('/srv/ol', 8000);

  test('the defaults pass', () => {
    expect(checkConfig(base())).toEqual([]);
  });

  test.each([
    [{ worker_dir: 'w' }, 'Worker_dir cannot be relative'],
    [{ sock_base_path: '' }, 'must specify sock_base_path'],
    [{ sock_base_path: 'b' }, 'sock_base_path cannot be relative'],
    [
      { mem_pool_mb: 499 },
      'memPoolMb must be at least 500 (current=499, user_mem_mb=50, installer_mem_mb=250); ' +
        'raise mem_pool_mb, or lower limits.mem_mb and installer_limits.mem_mb: the pool must hold two',
    ],
    [{ sandbox: 'docker' as const }, 'features.import_cache must be disabled for docker Sandbox'],
  ])('%j violates a rule', (change, message) => {
    expect(checkConfig({ ...base(), ...change }).map((p) => p.message)).toEqual([message]);
  });

  test('docker needs neither a base nor a pool', () => {
    const docker = { ...base(), sandbox: 'docker' as const, sock_base_path: '', mem_pool_mb: 0 };
    expect(checkConfig({ ...docker, features: { ...docker.features, import_cache: '' } })).toEqual([]);
  });
});
