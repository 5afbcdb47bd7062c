import { byName, CountedDemand, parseClosure, weightiest } from '../../../../src/zygote/policy/counted-packages';
import { fitTree, headsFirst } from '../../../../src/zygote/policy/fit';
import { toZygoteNode } from '../../../../src/zygote/policy/tree';

const PANDAS = parseClosure(`numpy==2.4.6              # via pandas
pandas==3.1.1
python-dateutil==4.0.0    # via pandas
Tz_Data==2026.6           # via python-dateutil, pandas
`);

describe('parseClosure', () => {
  it('reads names and the packages that need them', () => {
    expect(PANDAS.names).toEqual(['numpy', 'pandas', 'python-dateutil', 'tz-data']);
    expect(PANDAS.requires.get('pandas')).toEqual(['numpy', 'python-dateutil', 'tz-data']);
    expect(PANDAS.requires.get('python-dateutil')).toEqual(['tz-data']);
    expect(PANDAS.requires.get('numpy')).toEqual([]);
  });

  it('skips lines that are no pin, and annotations without a package', () => {
    const { names, requires } = parseClosure('# a comment\n\nsix==1.17.0   # via -r -\n--index-url https://x\n');
    expect(names).toEqual(['six']);
    expect([...requires]).toEqual([['six', []]]);
  });
});

describe('byName', () => {
  it('adds the counts of all versions and takes the median of their costs', () => {
    const sets = [
      { of: 'six==1.15', pins: ['six==1.15'], count: 3 },
      { of: 'six==1.16', pins: ['six==1.16'], count: 4 },
    ];
    const costs = new Map([1, 9, 2].map((ms) => [`six==1.${ms}`, { ms, mb: ms }]));
    const { counts, costs: byPackage } = byName(sets, costs);
    expect([...counts]).toEqual([['six', 7]]);
    expect(byPackage.get('six')).toEqual({ ms: 2, mb: 2 });
  });
});

test('weightiest returns the names with the highest total import cost', () => {
  const ms: Record<string, number> = { six: 1, numpy: 50, pandas: 200 };
  const counts = new Map(Object.entries({ six: 1000, numpy: 30, pandas: 2 }));
  expect(weightiest(counts, (name) => ({ ms: ms[name] ?? 0, mb: 1 }), 2)).toEqual(['numpy', 'six']);
});

test('a tree of names lists the purpose of each node first', () => {
  const asked = new CountedDemand();
  asked.add(10, PANDAS);
  asked.add(40, parseClosure('numpy==2.4.6\n'));
  const costOf = (key: string) => ({ ms: { numpy: 50, pandas: 200 }[key] ?? 1, mb: 1 });
  const { zygotes } = fitTree(asked, costOf, 100);
  const tree = toZygoteNode(zygotes, asked.specOf, (keys) => headsFirst(keys, costOf, asked.requiresOf));
  const [numpy] = tree.children;
  expect(numpy?.packages).toEqual(['numpy']);
  expect(numpy?.children.map(({ packages }) => packages[0])).toEqual(['pandas']);
  expect(numpy?.children[0]?.packages.toSorted()).toEqual(['pandas', 'python-dateutil', 'tz-data']);
});
