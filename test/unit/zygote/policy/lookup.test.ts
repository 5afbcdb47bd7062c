import { leastLoaded, lookupPins, lookupTree, treeReplicas } from '../../../../src/zygote/policy/lookup';
import { pinOf } from '../../../../src/zygote/policy/match';
import { flatten } from '../../../../src/zygote/policy/tree';

const MS: Record<string, number> = { numpy: 50, pandas: 230, requests: 20, six: 1 };
const costOf = (key: string) => ({ ms: MS[key.split('==')[0] ?? ''] ?? 0, mb: 1 });
const pins = (...specs: string[]) => specs.map((spec) => pinOf(spec));

describe('lookupTree', () => {
  const nodes = flatten({
    packages: [],
    children: [
      { packages: ['six'], children: [{ packages: ['requests'], children: [] }] },
      { packages: ['numpy==2.1.0'], children: [{ packages: ['pandas==2.2.0'], children: [] }] },
      { packages: ['scipy'], children: [{ packages: ['pandas'], children: [] }] },
    ],
  });

  it('finds the node that saves the most, not the first that fits', () => {
    const match = lookupTree(nodes, pins('six==1.16.0', 'numpy==2.1.0', 'pandas==2.2.0'), costOf);
    expect(match?.node.id).toBe('1.0');
    expect(match?.savedMs).toBe(280);
    expect(match?.imports.map(({ spec }) => spec)).toEqual(['numpy==2.1.0', 'pandas==2.2.0']);
  });

  it('never descends from a node with other imports, even to a child that would fit', () => {
    expect(lookupTree(nodes, pins('pandas==2.2.0'), costOf)?.node.id).toBe('');
    expect(lookupTree(nodes, pins('numpy==2.2.0', 'pandas==2.2.0'), costOf)?.node.id).toBe('');
  });

  it('matches unpinned nodes with pinned functions, unlike the original', () => {
    const match = lookupTree(nodes, pins('six==1.16.0', 'requests==2.31.0'), costOf);
    expect(match?.node.id).toBe('0.0');
    expect(match?.imports.map(({ spec }) => spec)).toEqual(['six==1.16.0', 'requests==2.31.0']);
  });

  it('skips later packages of a node that the function lacks or has in another version', () => {
    const listed = flatten({ packages: [], children: [{ packages: ['pandas', 'numpy==2.1.0', 'six'], children: [] }] });
    const imported = (...specs: string[]) =>
      lookupTree(listed, pins(...specs), costOf)?.imports.map(({ spec }) => spec);
    expect(imported('pandas==2.2.0', 'numpy==2.1.0')).toEqual(['pandas==2.2.0', 'numpy==2.1.0']);
    expect(imported('pandas==2.2.0', 'numpy==2.2.0', 'six==1.16.0')).toEqual(['pandas==2.2.0', 'six==1.16.0']);
    expect(imported('numpy==2.1.0', 'six==1.16.0')).toEqual([]);
  });

  it('counts a repeated package once, and prefers fewer imports at equal savings', () => {
    const twice = flatten({
      packages: [],
      children: [{ packages: ['numpy'], children: [{ packages: ['numpy'], children: [] }] }],
    });
    const match = lookupTree(twice, pins('numpy==2.1.0'), costOf);
    expect(match).toMatchObject({ savedMs: 50, node: { id: '0' } });
  });

  it('returns undefined for an empty tree', () => {
    expect(lookupTree([], pins('numpy==2.1.0'), costOf)).toBeUndefined();
  });
});

describe('lookupPins', () => {
  it('selects by saved ms among zygotes whose pins the function contains', () => {
    const zygotes = [
      { pins: [] },
      { pins: ['numpy==2'] },
      { pins: ['numpy==2', 'pandas==2'] },
      { pins: ['requests==1'] },
    ];
    expect(lookupPins(zygotes, new Set(['numpy==2', 'requests==1']), costOf)).toEqual({
      zygote: { pins: ['numpy==2'] },
      savedMs: 50,
    });
    expect(lookupPins(zygotes, new Set(['flask==1']), costOf)?.zygote.pins).toEqual([]);
    expect(lookupPins([], new Set(), costOf)).toBeUndefined();
  });
});

describe('treeReplicas', () => {
  it.each([
    ['', 8, 0],
    ['tree', 8, 1],
    ['popularity', 8, 1],
    ['multitree', 1, 6],
    ['multitree', 2, 6],
    ['multitree', 3, 6],
    ['multitree', 10, 20],
    ['multitree', 11, 16],
  ] as const)('%j on %d CPUs: %d', (mode, cpus, copies) => {
    expect(treeReplicas(mode, cpus)).toBe(copies);
  });
});

describe('leastLoaded', () => {
  it('selects the fewest forks in flight, then the fewest forks, then the first', () => {
    const copies = [
      { id: 'a', inFlight: 1, forks: 0 },
      { id: 'b', inFlight: 0, forks: 5 },
      { id: 'c', inFlight: 0, forks: 2 },
      { id: 'd', inFlight: 0, forks: 2 },
    ];
    expect(leastLoaded(copies)?.id).toBe('c');
    expect(leastLoaded(copies.slice(4))).toBeUndefined();
  });
});
