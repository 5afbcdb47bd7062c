import { BENCHMARKS, functionName, resultLine, SOURCES } from '../../../src/cli/bench/table';
import { parseRequirements } from '../../../src/packages/requirements';

describe('the table of benchmarks', () => {
  it('has each kind and size once in sequence and once in parallel', () => {
    expect(BENCHMARKS.map(({ name, functions, tasks }) => [name, functions, tasks]).slice(0, 4)).toEqual([
      ['py64-seq', 64, 1],
      ['py64-par', 64, 100],
      ['py1024-seq', 1024, 1],
      ['py1024-par', 1024, 100],
    ]);
    expect(new Set(BENCHMARKS.map(({ name }) => name)).size).toBe(12);
  });

  it('names functions by kind and number', () => {
    expect(functionName('pd', 63)).toBe('bench-pd-63');
  });

  it('pins all that its functions need', () => {
    const specs = parseRequirements(SOURCES.pd['requirements.txt'] ?? '');
    expect(specs.length).toBeGreaterThan(1);
    for (const line of (SOURCES.pd['requirements.txt'] ?? '').trim().split('\n'))
      expect(line).toMatch(/^[\w-]+==[\w.]+$/);
  });
});

describe('the result line', () => {
  it('is JSON with three decimals, spaced as scripts expect it', () => {
    expect(resultLine('py64-seq', 60.00049, { successes: 1234, errors: 5 })).toBe(
      '{"benchmark": "py64-seq","seconds": 60.000, "successes": 1234, "errors": 5, "ops/s": 20.566}',
    );
  });

  it('has no rate without time', () => {
    expect(JSON.parse(resultLine('py64-par', 0, { successes: 0, errors: 0 }))).toMatchObject({ 'ops/s': 0 });
  });
});
