import { BENCHMARKS, functionName, resultLine, SOURCES, tooManyErrors, traceCalls } from '../../../src/cli/bench/table';
import { parseRequirements } from '../../../src/packages/requirements/requirements';

describe('the table of benchmarks', () => {
  it('contains each kind and size once in sequence and once in parallel', () => {
    expect(BENCHMARKS.map(({ name, functions, tasks }) => [name, functions, tasks]).slice(0, 4)).toEqual([
      ['py64-seq', 64, 1],
      ['py64-par', 64, 32],
      ['py1k-seq', 1024, 1],
      ['py1k-par', 1024, 32],
    ]);
    expect(new Set(BENCHMARKS.map(({ name }) => name)).size).toBe(12);
  });

  it('keeps the former names as aliases', () => {
    expect(BENCHMARKS.flatMap(({ alias }) => alias ?? [])).toEqual([
      ...['py1024-seq', 'py1024-par', 'py65536-seq', 'py65536-par'],
      ...['pd1024-seq', 'pd1024-par', 'pd65536-seq', 'pd65536-par'],
    ]);
  });

  it('names functions by kind and number', () => {
    expect(functionName('pd', 63)).toBe('bench-pd-63');
  });

  it('pins all packages that its functions need', () => {
    const specs = parseRequirements(SOURCES.pd['requirements.txt'] ?? '');
    expect(specs.length).toBeGreaterThan(1);
    for (const line of (SOURCES.pd['requirements.txt'] ?? '').trim().split('\n'))
      expect(line).toMatch(/^[\w-]+==[\w.]+$/);
  });
});

describe('the result line', () => {
  it('is JSON with three decimals and the spaces that scripts expect', () => {
    expect(resultLine('py64-seq', 60.00049, { successes: 1234, errors: 5 })).toBe(
      '{"benchmark": "py64-seq","seconds": 60.000, "successes": 1234, "errors": 5, "ops/s": 20.566}',
    );
  });

  it('has no rate for a duration of zero', () => {
    expect(JSON.parse(resultLine('py64-par', 0, { successes: 0, errors: 0 }))).toMatchObject({ 'ops/s': 0 });
  });
});

test.each([
  [0, 0, 1, false],
  [0, 1, 1, true],
  [99, 1, 1, false],
  [98, 1, 1, true],
  [198, 2, 1, false],
  [197, 3, 1, true],
  [19, 1, 5, false],
  [18, 1, 5, true],
])('%i successes and %i errors at %i %%: too many is %s, in whole percents', (successes, errors, percent, expected) => {
  expect(tooManyErrors({ successes, errors }, percent)).toBe(expected);
});

test('a trace names one function per line, and empty lines are skipped', () => {
  expect(traceCalls('a\n\nb\na\n')).toEqual(['a', 'b', 'a']);
});
