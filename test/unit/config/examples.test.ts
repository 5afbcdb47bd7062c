/** The files in configs/ are valid. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultConfig, examine, loadTree } from '../../../src/config';
import type { ZygoteNode } from '../../../src/config';
import { parseHelperConf } from '../../../src/helper/conf';

const configs = join(__dirname, '../../../configs');
const nodes = (tree: ZygoteNode): ZygoteNode[] => [tree, ...tree.children.flatMap(nodes)];

test('config.json has the defaults of a machine with 4500 MB and is valid', () => {
  const json: unknown = JSON.parse(readFileSync(join(configs, 'config.json'), 'utf8'));
  expect(json).toEqual(defaultConfig('/var/lib/argyle/ol', 4500));
  const tree = join(configs, 'default-zygotes-40.json');
  const { problems, warnings } = examine({ ...(json as object), import_cache_tree: tree });
  expect([problems, warnings]).toEqual([[], []]);
});

test('the default tree has 40 nodes: an empty root, and nodes that add unpinned names', () => {
  const all = nodes(loadTree(join(configs, 'default-zygotes-40.json')));
  expect(all).toHaveLength(40);
  const names = all.slice(1).map((node) => node.packages);
  expect(names.every((packages) => packages.length > 0)).toBe(true);
  expect(names.flat().filter((name) => !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name))).toEqual([]);
});

test('no node of the default tree repeats an import of an ancestor', () => {
  const walk = (node: ZygoteNode, above: string[]): string[] => [
    ...node.packages.filter((name) => above.includes(name)),
    ...node.children.flatMap((child) => walk(child, [...above, ...node.packages])),
  ];
  expect(walk(loadTree(join(configs, 'default-zygotes-40.json')), [])).toEqual([]);
});

test('helper.conf names the roots of the packaged directory', () => {
  const file = join(configs, 'helper.conf');
  expect(parseHelperConf(readFileSync(file, 'utf8'), file).roots).toEqual(['/var/lib/argyle']);
});
