import fc from 'fast-check';
import { applyOverrides } from '../../../src/config/overrides';

const file = () => ({ worker_port: '5000', limits: { procs: 10, mem_mb: 50 }, log_output: true, sandbox_config: {} });

describe('applyOverrides', () => {
  test('sets strings, ints and bools, and keeps the types of the file', () => {
    expect(applyOverrides(file(), 'worker_port=7,limits.procs=32,log_output=f')).toEqual({
      ...file(),
      worker_port: '7',
      limits: { procs: 32, mem_mb: 50 },
      log_output: false,
    });
  });

  test('does not change its argument', () => {
    const json = file();
    applyOverrides(json, 'limits.procs=1');
    expect(json).toEqual(file());
  });

  test('finds keys in any case', () => {
    expect(applyOverrides({ Pkgs_dir: '/a' }, 'pkgs_dir=/b')).toEqual({ Pkgs_dir: '/b' });
  });

  test("accepts Argyle's own keys that the file lacks", () => {
    expect(applyOverrides(file(), 'argyle.network=none,kafka.commit_failed=true')).toEqual({
      ...file(),
      argyle: { network: 'none' },
      kafka: { commit_failed: true },
    });
  });

  test.each([
    ['x=1', "invalid option: 'x'"],
    ['limits.x=1', "invalid option: 'limits.x'"],
    ['worker_port.x=1', "invalid option: 'worker_port.x'"],
    ['registry=/r', "invalid option: 'registry'"],
    ['__proto__.x=1', "invalid option: '__proto__.x'"],
    ['constructor=1', "invalid option: 'constructor'"],
    ['argyle.nope=1', "invalid option: 'argyle.nope'"],
    ['=1', "invalid option: ''"],
    ['x', "Could not parse key=val: 'x'"],
    ['worker_port=1=2', "Could not parse key=val: 'worker_port=1=2'"],
    ['worker_port=1,', "Could not parse key=val: ''"],
    ['limits.procs=many', "option 'limits.procs' must be an int, found 'many'"],
    ['limits.procs=1.5', "option 'limits.procs' must be an int, found '1.5'"],
    ['log_output=yes', "option 'log_output' must be a bool, found 'yes'"],
    ['limits=1', 'option \'limits\' holds {"procs":10,"mem_mb":50} and must be edited in config.json'],
  ])('%s is refused', (options, message) => {
    expect(() => applyOverrides(file(), options)).toThrow(message);
  });

  test('any text applies or is refused with CONFIG_INVALID', () => {
    const key = fc.constantFrom('worker_port', 'limits.procs', 'limits', 'log_output', 'a.b', '');
    const option = fc.oneof(
      fc.string(),
      fc.tuple(key, fc.string()).map(([k, v]) => `${k}=${v}`),
    );
    fc.assert(
      fc.property(fc.array(option), (options) => {
        try {
          const after = applyOverrides(file(), options.join(',')) as ReturnType<typeof file>;
          expect(typeof after.worker_port).toBe('string');
          expect(Number.isSafeInteger(after.limits.procs)).toBe(true);
          expect(typeof after.log_output).toBe('boolean');
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'CONFIG_INVALID' });
        }
      }),
    );
  });

  test('a string value is set unchanged', () => {
    fc.assert(
      fc.property(
        fc.string().filter((s) => !/[=,]/.test(s)),
        (value) => {
          expect(applyOverrides(file(), `worker_port=${value}`)).toMatchObject({ worker_port: value });
        },
      ),
    );
  });
});
