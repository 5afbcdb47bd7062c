import { fitTree, TraceDemand } from '../../../../src/zygote/policy/fit';
import { toZygoteNode } from '../../../../src/zygote/policy/tree';
import { loadTree } from '../../../../src/config/tree';

const COSTS: Record<string, number> = { 'numpy==1.26': 50, 'pandas==2.1': 230, 'flask==3': 60 };
const costOf = (key: string) => ({ ms: COSTS[key] ?? 1, mb: (COSTS[key] ?? 1) * 0.04 });

function traceOf(...events: object[]): TraceDemand {
  const trace = new TraceDemand();
  for (const event of events) trace.add(JSON.stringify(event));
  return trace;
}

const EVENTS = [
  {
    type: 'package',
    name: 'pandas==2.1.0',
    deps: ['numpy>=1.22.4; python_version < "3.11"', 'pytz (>=2020)'],
    top: [],
  },
  { type: 'function', id: '1', name: 'stats', deps: ['numpy==1.26.0', 'pandas==2.1.0'] },
  { type: 'function', id: '2', name: 'web', deps: ['flask==3.0.0'] },
  ...Array.from({ length: 30 }, () => ({ type: 'invocation', id: '1', name: 'stats' })),
  ...Array.from({ length: 10 }, () => ({ type: 'invocation', id: '2', name: 'web' })),
];

describe('TraceDemand', () => {
  it('counts calls by set of packages', () => {
    const trace = traceOf(...EVENTS);
    expect(trace.invocations).toBe(40);
    expect(trace.demands()).toEqual([
      { pins: ['numpy==1.26', 'pandas==2.1'], ratePerSec: 0.75 },
      { pins: ['flask==3'], ratePerSec: 0.25 },
    ]);
    expect(trace.requiresOf('pandas==2.1')).toEqual(['numpy', 'pytz']);
    expect(trace.specOf('pandas==2.1')).toBe('pandas==2.1.0');
  });

  it('uses the packages that a function required at the time of the call', () => {
    const trace = traceOf(
      { type: 'function', name: 'f', deps: ['a==1'] },
      { type: 'invocation', name: 'f' },
      { type: 'function', name: 'f', deps: ['a==2'] },
      { type: 'invocation', name: 'f' },
    );
    expect(trace.demands().map(({ pins }) => pins)).toEqual([['a==1'], ['a==2']]);
  });

  it('skips unknown events, empty lines and unknown functions', () => {
    const trace = traceOf({ type: 'later', name: 'x' }, { type: 'invocation', name: 'nobody' }, {});
    trace.add('  ');
    expect(trace.invocations).toBe(0);
    expect(trace.demands()).toEqual([]);
  });

  it.each(['{"type":', '[1]', '7', '{"type":"function","name":"f","deps":["../.."]}'])(
    'names the line of %s',
    (line) => {
      const trace = traceOf({ type: 'invocation', name: 'x' });
      expect(() => {
        trace.add(line);
      }).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', field: 'trace', value: 'line 2' }) as Error);
    },
  );
});

describe('fitTree', () => {
  it('fits the budget, reports the saving, and loads as import_cache_tree', () => {
    const trace = traceOf(...EVENTS);
    const tree = fitTree(trace, costOf, 60);
    expect(tree.mb).toBeLessThanOrEqual(60);
    expect(tree.savedMsPerSec).toBeGreaterThan(0.75 * 280);
    const file = loadTree(JSON.stringify(toZygoteNode(tree.zygotes, trace.specOf)));
    const specs = JSON.stringify(file);
    expect(specs).toContain('pandas==2.1.0');
    expect(specs).toContain('flask==3.0.0');
  });

  it('keeps the more expensive of two packages when only one fits', () => {
    const tree = fitTree(traceOf(...EVENTS), costOf, 9 + 2.5 + 12);
    expect(tree.zygotes.map(({ id }) => id)).toEqual(['', 'numpy==1.26,pandas==2.1']);
  });
});
