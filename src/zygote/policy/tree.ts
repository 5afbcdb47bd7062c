/** Zygote trees as data: the config's nested nodes, flat lists for lookups, and drawings of both. Pure. */
import type { ZygoteNode } from '../../config/types';
import { ArgyleError } from '../../errors';
import type { PinKey } from './types';

/** Limit for the depth of a tree. Every level is a nested pid namespace, and the kernel allows 32 levels. */
export const MAX_DEPTH = 24;

/** One node of a config tree, with its position. */
export interface FlatNode {
  /** Child indexes on the path from the root, joined by `.`; '' for the root. Stable for one tree. */
  readonly id: string;
  readonly parent: FlatNode | undefined;
  /** Specs that this node adds. */
  readonly packages: readonly string[];
  /** Specs of the whole path, the root's first. */
  readonly path: readonly string[];
}

/**
 * Lists a tree's nodes, parents first.
 * @throws ArgyleError CONFIG_INVALID when the root names packages (the root serves all functions) or the tree is too
 *   deep
 */
export function flatten(root: ZygoteNode): FlatNode[] {
  if (root.packages.length > 0) {
    throw new ArgyleError(
      'CONFIG_INVALID',
      'import_cache_tree: the root must not import packages, it serves everybody',
      {
        field: 'import_cache_tree',
        value: root.packages.join(','),
      },
    );
  }
  const flat: FlatNode[] = [];
  const visit = (node: ZygoteNode, id: string, parent: FlatNode | undefined, depth: number): void => {
    if (depth > MAX_DEPTH) {
      throw new ArgyleError('CONFIG_INVALID', `import_cache_tree: node ${id} is deeper than ${MAX_DEPTH} levels`, {
        field: 'import_cache_tree',
        value: id,
      });
    }
    const entry: FlatNode = { id, parent, packages: node.packages, path: [...(parent?.path ?? []), ...node.packages] };
    flat.push(entry);
    node.children.forEach((child, index) => visit(child, id === '' ? `${index}` : `${id}.${index}`, entry, depth + 1));
  };
  visit(root, '', undefined, 0);
  return flat;
}

/** The common part of a flat tree's nodes in the policy, the provider and the endpoint. */
export interface Linked {
  readonly id: string;
  readonly parent?: string | null | undefined;
}

/** Returns children by parent id, in the given order. A node without a known parent has the key undefined. */
export function childrenOf<T extends Linked>(nodes: readonly T[]): Map<string | undefined, T[]> {
  const ids = new Set(nodes.map((node) => node.id));
  const children = new Map<string | undefined, T[]>();
  for (const node of nodes) {
    const parent = node.parent != null && ids.has(node.parent) ? node.parent : undefined;
    children.set(parent, [...(children.get(parent) ?? []), node]);
  }
  return children;
}

/**
 * Converts nodes with all their pins to the nested form of the config file.
 * @param specOf returns the spec of a key for the file
 * @param inOrder orders the packages that a node adds for the file
 */
export function toZygoteNode(
  nodes: readonly (Linked & { pins: readonly PinKey[] })[],
  specOf: (key: PinKey) => string = (key) => key,
  inOrder: (keys: PinKey[]) => PinKey[] = (keys) => keys,
): ZygoteNode {
  const children = childrenOf(nodes);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const build = (node: Linked & { pins: readonly PinKey[] }): ZygoteNode => {
    const inherited = new Set(node.parent == null ? [] : byId.get(node.parent)?.pins);
    return {
      packages: inOrder(node.pins.filter((key) => !inherited.has(key))).map(specOf),
      children: (children.get(node.id) ?? []).map(build),
    };
  };
  const roots = children.get(undefined) ?? [];
  const [first] = roots;
  if (roots.length === 1 && first?.pins.length === 0) return build(first);
  return { packages: [], children: roots.map(build) };
}

/** Draws a tree for a terminal, one line per node. */
export function drawTree<T extends Linked>(nodes: readonly T[], label: (node: T) => string): string {
  const children = childrenOf(nodes);
  const lines: string[] = [];
  const visit = (node: T, first: string, rest: string): void => {
    lines.push(`${first}${label(node)}`);
    const below = children.get(node.id) ?? [];
    below.forEach((child, index) => {
      const last = index === below.length - 1;
      visit(child, `${rest}${last ? '└─ ' : '├─ '}`, `${rest}${last ? '   ' : '│  '}`);
    });
  };
  for (const root of children.get(undefined) ?? []) visit(root, '', '');
  return lines.map((line) => `${line}\n`).join('');
}
