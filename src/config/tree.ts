/** Parses the zygote tree in all formats of `import_cache_tree`. */
import { readFileSync } from 'node:fs';
import { foldKey, isObject } from './decode';
import { kindOf, show } from './setting';
import type { ZygoteNode } from './types';

/** Deepest accepted tree. Each level is one more process in a chain, and recursion must end. */
const MAX_DEPTH = 64;

export const EMPTY_TREE: ZygoteNode = { packages: [], children: [] };

function listAt(node: Record<string, unknown>, key: string, where: string): unknown[] {
  const name = Object.keys(node).find((candidate) => foldKey([key], candidate) !== undefined);
  const value = name === undefined ? null : node[name];
  // In Go, a missing or null list is an empty list.
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) throw new Error(`${where}.${key} must be a list, found ${kindOf(value)} ${show(value)}`);
  return value;
}

function parseNode(json: unknown, where: string, depth: number): ZygoteNode {
  if (!isObject(json)) throw new Error(`${where} must be an object, found ${kindOf(json)} ${show(json)}`);
  if (depth > MAX_DEPTH) throw new Error(`${where} is deeper than ${MAX_DEPTH} levels`);
  const packages = listAt(json, 'packages', where).map((name, i) => {
    if (typeof name === 'string') return name;
    throw new Error(`${where}.packages[${i}] must be a string, found ${kindOf(name)} ${show(name)}`);
  });
  const children = listAt(json, 'children', where).map((child, i) =>
    parseNode(child, `${where}.children[${i}]`, depth + 1),
  );
  return { packages, children };
}

/**
 * Checks a tree node by node. Keys match in any case. Extra keys are dropped, e.g. the original's split_generation.
 * @throws Error with the faulty node, also when the root has packages
 */
export function parseTree(json: unknown): ZygoteNode {
  const root = parseNode(json, 'root', 0);
  if (root.packages.length > 0) throw new Error(`root.packages must be empty, found ${show(root.packages)}`);
  return root;
}

/**
 * Loads the tree of `import_cache_tree`: an object, JSON in a string, or a path relative to the working directory. An
 * empty setting gives a tree with only the root.
 * @throws Error with the problem
 */
export function loadTree(setting: unknown, read = (path: string) => readFileSync(path, 'utf8')): ZygoteNode {
  if (typeof setting !== 'string') return parseTree(setting);
  const text = setting.trim();
  if (text === '') return EMPTY_TREE;
  return parseTree(JSON.parse(text.startsWith('{') ? text : read(text)));
}
