/** The zygote tree in the forms that `import_cache_tree` allows. */
import { readFileSync } from 'node:fs';
import { foldKey, isObject } from './decode';
import { kindOf, show } from './schema';
import type { ZygoteNode } from './types';

/** Deeper trees are refused: each level is a chain of processes, and recursion must end. */
const MAX_DEPTH = 64;

export const EMPTY_TREE: ZygoteNode = { packages: [], children: [] };

function listAt(node: Record<string, unknown>, key: string, where: string): unknown[] {
  const name = Object.keys(node).find((candidate) => foldKey([key], candidate) !== undefined);
  const value = name === undefined ? null : node[name];
  // A missing or null list is an empty one in Go.
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
 * Checks a tree node by node; keys match in any case, extra keys (the original's split_generation) are dropped.
 * Throws an Error that names the node at fault, also when the root has packages.
 */
export function parseTree(json: unknown): ZygoteNode {
  const root = parseNode(json, 'root', 0);
  if (root.packages.length > 0) throw new Error(`root.packages must be empty, found ${show(root.packages)}`);
  return root;
}

/**
 * Reads the tree that `import_cache_tree` gives: an object, JSON in a string, or a path (relative to the working
 * directory). An empty setting is the tree that has only its root. Throws an Error that says what is wrong.
 */
export function loadTree(setting: unknown, read = (path: string) => readFileSync(path, 'utf8')): ZygoteNode {
  if (typeof setting !== 'string') return parseTree(setting);
  const text = setting.trim();
  if (text === '') return EMPTY_TREE;
  return parseTree(JSON.parse(text.startsWith('{') ? text : read(text)));
}
