import { ArgyleError } from '../../../../../src/errors';
import { limitCaps, type LimitCaps } from '../../../../../src/lambda/code/intake/limits';
import { nearest } from '../../../../../src/lambda/code/intake/nearest';
import { parseOlYaml } from '../../../../../src/lambda/code/intake/ol-yaml';
import { call, startWorker } from '../../../../support/in-process-worker';

const CAPS: LimitCaps = { mem_mb: 100, procs: 20, cpu_percent: 200, runtime_sec: 60, scratch_mb: 30 };
const parse = (limits: string, unknown: string[] = []) =>
  parseOlYaml(`limits: {${limits}}\n`, { caps: CAPS, onUnknown: (message) => unknown.push(message) }).limits;

test('every limit up to its cap is accepted', () => {
  const limits = 'mem_mb: 100, procs: 20, cpu_percent: 200, runtime_sec: 60, scratch_mb: 30';
  expect(parse(limits)).toEqual(CAPS);
});

test.each(Object.entries(CAPS))('%s above its cap of %d is refused with field, value and cap', (name, cap) => {
  const message = `limits.${name} is ${cap + 1}, but this worker allows ${cap} at most (argyle.max_limits.${name})`;
  const at = { field: `limits.${name}`, value: String(cap + 1) };
  expect(() => parse(`${name}: ${cap + 1}`)).toThrow(new ArgyleError('LAMBDA_CONFIG', message, at));
  try {
    parse(`${name}: ${cap + 1}`);
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: 'LAMBDA_CONFIG', ...at });
  }
});

test('a missing timeout becomes the longest timeout that is allowed', () => {
  expect(parse('runtime_sec: 0')).toEqual({ runtime_sec: 60 });
  expect(parseOlYaml('limits: {runtime_sec: 0}\n').limits).toEqual({ runtime_sec: 0 });
});

test.each([
  ['memory_mb', 'mem_mb'],
  ['mem', 'mem_mb'],
  ['MEM_MB', 'mem_mb'],
  ['proc', 'procs'],
  ['processes', 'procs'],
  ['cpu', 'cpu_percent'],
  ['runtime', 'runtime_sec'],
  ['runtime-sec', 'runtime_sec'],
  ['scratch', 'scratch_mb'],
])('the nearest limit to %s is %s', (name, known) => {
  const unknown: string[] = [];
  expect(parse(`${name}: 1`, unknown)).toEqual({});
  expect(unknown).toEqual([expect.stringContaining(`limits.${name} is no limit: the nearest is limits.${known},`)]);
  expect(nearest('x'.repeat(1e6), [known])).toBe(known);
});

test.each([
  [
    { memPoolMb: 8000, cpus: 4 },
    { mem_mb: 2000, cpu_percent: 400 },
  ],
  [
    { memPoolMb: 1000, cpus: 1 },
    { mem_mb: 512, cpu_percent: 100 },
  ],
  [
    { memPoolMb: 300, cpus: 1 },
    { mem_mb: 300, cpu_percent: 100 },
  ],
  [
    { memPoolMb: Infinity, cpus: 1 },
    { mem_mb: 1 << 20, cpu_percent: 100 },
  ],
])('the default caps of %j are %j', (machine, expected) => {
  const maxLimits = { mem_mb: 0, procs: 1024, cpu_percent: 0, runtime_sec: 0, scratch_mb: 7 };
  const others = { procs: 1024, runtime_sec: 86400, scratch_mb: 7 };
  expect(limitCaps({ maxLimits, ...machine })).toEqual({ ...expected, ...others });
  expect(limitCaps({ maxLimits: { ...maxLimits, mem_mb: 9, cpu_percent: 50 }, ...machine })).toMatchObject({
    mem_mb: 9,
    cpu_percent: 50,
  });
});

test('caps apply to functions stored out-of-band, where an unknown limit is only a warning', async () => {
  const worker = await startWorker({ rules: { caps: CAPS } });
  try {
    const files = { 'f.py': 'def f(event): return event\n' };
    await worker.deploy('greedy', { ...files, 'ol.yaml': 'limits: {procs: 21}\n' });
    const greedy = await call(worker, '/run/greedy', { method: 'POST', body: '1' });
    expect([greedy.status, greedy.body]).toEqual([500, expect.stringContaining('limits.procs is 21, but')]);
    await worker.deploy('old', { ...files, 'ol.yaml': 'limits: {memory: 9, scratch_mb: 8}\n' });
    expect((await call(worker, '/run/old', { method: 'POST', body: '1' })).status).toBe(200);
    expect([...worker.provider.live][0]?.limits.scratchMb).toBe(8);
  } finally {
    await worker.close();
  }
});
