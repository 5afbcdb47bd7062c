import { TreePlanner, type ZygotePackages } from '../../../src/zygote/plan-tree';
import { pinOf } from '../../../src/zygote/policy/match';
import { flatten } from '../../../src/zygote/policy/tree';

const DEPS: Record<string, string[]> = { pandas: ['numpy', 'pytz'] };
const nodes = flatten({
  packages: [],
  children: [{ packages: ['numpy'], children: [{ packages: ['pandas'], children: [] }] }],
});

/** Takes dependencies from the pins, else by their bare name, as the package layer does. */
const packages: ZygotePackages = {
  installedVersion: () => undefined,
  dependenciesOf: () => undefined,
  resolveForZygote: (specs, pins) => {
    const all = specs.flatMap((spec) => [...(DEPS[pinOf(spec).name] ?? []), spec]);
    const found = all.map((name) => pins.find((pin) => pinOf(pin).name === pinOf(name).name) ?? name);
    return Promise.resolve(found.map((spec) => ({ spec, modules: [pinOf(spec).name] })));
  },
};
const excluded = new Set<string>();
const planner = new TreePlanner({
  nodes,
  packages,
  costOf: () => ({ ms: 5, mb: 1 }),
  excluded: (key) => excluded.has(key),
});
const plan = async (...specs: string[]): Promise<[string, string[]][]> => {
  const groups = await planner.plan(specs.map((spec) => pinOf(spec)));
  return groups.map(({ id, imports }) => [id, [...imports.values()].map(({ spec }) => spec)]);
};

describe('TreePlanner', () => {
  beforeEach(() => {
    excluded.clear();
    planner.forget();
  });

  it("returns the zygotes of the path with the function's pins, dependencies first", async () => {
    expect(await plan('pandas==2.2.1', 'numpy==1.26.4', 'pytz==2024.1')).toEqual([
      ['', []],
      ['numpy==1.26.4', ['numpy==1.26.4']],
      ['numpy==1.26.4,pandas==2.2.1,pytz==2024.1', ['pytz==2024.1', 'pandas==2.2.1']],
    ]);
  });

  it('imports no dependency that the function does not pin', async () => {
    expect((await plan('pandas==2.2.1', 'numpy==1.26.4')).at(-1)).toEqual([
      'numpy==1.26.4,pandas==2.2.1',
      ['pandas==2.2.1'],
    ]);
  });

  it('serves a function that lacks later packages of a node, with only its own packages', async () => {
    const children = [{ packages: ['pandas', 'numpy', 'pytz', 'six'], children: [] }];
    const listed = new TreePlanner({
      nodes: flatten({ packages: [], children }),
      packages,
      costOf: () => ({ ms: 5, mb: 1 }),
      excluded: () => false,
    });
    const ids = async (...specs: string[]) => (await listed.plan(specs.map((spec) => pinOf(spec)))).map(({ id }) => id);
    expect(await ids('pandas==3.0.1', 'numpy==2.4.0')).toEqual(['', 'numpy==2.4,pandas==3.0.1']);
    expect(await ids('numpy==2.4.0', 'six==1.17.0')).toEqual(['']);
  });

  it('gives functions with other versions other zygotes, and the root when no node fits', async () => {
    expect((await plan('numpy==2.1.1')).at(-1)?.[0]).toBe('numpy==2.1.1');
    expect(await plan('flask==3.0.1')).toEqual([['', []]]);
  });

  it('ends above an excluded package', async () => {
    excluded.add('pandas==2.2.1');
    expect((await plan('pandas==2.2.1', 'numpy==1.26.4')).map(([id]) => id)).toEqual(['', 'numpy==1.26.4']);
  });
});
