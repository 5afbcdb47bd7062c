import { drawTree, flatten, MAX_DEPTH, toZygoteNode } from '../../../../src/zygote/policy/tree';
import type { ZygoteNode } from '../../../../src/config/types';

const TREE: ZygoteNode = {
  packages: [],
  children: [
    { packages: ['numpy'], children: [{ packages: ['pandas', 'pytz'], children: [] }] },
    { packages: ['flask'], children: [] },
  ],
};

describe('flatten', () => {
  it('lists parents first, with ids of the path and whole paths', () => {
    expect(flatten(TREE).map(({ id, path }) => [id, path])).toEqual([
      ['', []],
      ['0', ['numpy']],
      ['0.0', ['numpy', 'pandas', 'pytz']],
      ['1', ['flask']],
    ]);
  });

  it('refuses packages in the root, which serves all functions', () => {
    expect(() => flatten({ packages: ['numpy'], children: [] })).toThrow(/root must not import/);
  });

  it("refuses a tree deeper than the kernel's limit for pid namespaces", () => {
    let tree: ZygoteNode = { packages: ['x'], children: [] };
    for (let depth = 0; depth < MAX_DEPTH; depth++) tree = { packages: [], children: [tree] };
    expect(flatten(tree)).toHaveLength(MAX_DEPTH + 1);
    expect(() => flatten({ packages: [], children: [tree] })).toThrow(/deeper than 24/);
  });
});

describe('toZygoteNode', () => {
  const nodes = [
    { id: '', parent: undefined, pins: [] },
    { id: 'a', parent: '', pins: ['a==1'] },
    { id: 'ab', parent: 'a', pins: ['a==1', 'b==2'] },
  ];

  it("nests nodes and lists only added packages, in the file's spelling", () => {
    expect(toZygoteNode(nodes, (key) => key.toUpperCase())).toEqual({
      packages: [],
      children: [{ packages: ['A==1'], children: [{ packages: ['B==2'], children: [] }] }],
    });
  });

  it('makes a root when the nodes have none', () => {
    expect(toZygoteNode([])).toEqual({ packages: [], children: [] });
    expect(toZygoteNode(nodes.slice(1)).children[0]?.packages).toEqual(['a==1']);
  });
});

describe('drawTree', () => {
  it('draws one line per node', () => {
    const nodes = [
      { id: '', parent: null },
      { id: 'a', parent: '' },
      { id: 'a1', parent: 'a' },
      { id: 'b', parent: '' },
      { id: 'b1', parent: 'b' },
    ];
    expect(drawTree(nodes, ({ id }) => id || 'root')).toBe('root\n├─ a\n│  └─ a1\n└─ b\n   └─ b1\n');
  });
});
