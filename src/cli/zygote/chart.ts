/** Draws SVGs with vega. vega is optional and loaded on first use. */
import type { Spec } from 'vega';
import type { TopLevelSpec } from 'vega-lite';
import { CliError } from '../command';

async function load<T>(what: string, importIt: () => Promise<T | { default: T }>): Promise<T> {
  try {
    const loaded = await importIt();
    // Node puts a CommonJS module under `default` when it is imported.
    return typeof loaded === 'object' && loaded !== null && 'default' in loaded ? loaded.default : loaded;
  } catch (cause) {
    throw new CliError(`drawing needs the optional package ${what}: npm install ${what}`, { cause });
  }
}

/** Renders a vega specification to SVG text. @throws CliError when vega is not installed */
export async function drawVega(spec: Spec): Promise<string> {
  const vega = await load('vega', () => import('vega'));
  return new vega.View(vega.parse(spec), { renderer: 'none' }).toSVG();
}

/** Renders a vega-lite specification to SVG text. @throws CliError when vega or vega-lite is not installed */
export async function drawVegaLite(spec: TopLevelSpec): Promise<string> {
  const vegaLite = await load('vega-lite', () => import('vega-lite'));
  return drawVega(vegaLite.compile(spec).spec);
}

export interface TreeDatum {
  readonly id: string;
  readonly parent: string | null;
  readonly label: string;
  /** Second line under the label. */
  readonly detail: string;
  /** Memory in MB; sets the node's area. */
  readonly mb: number;
  /** Saved time; sets the node's colour. */
  readonly saved: number;
}

/** A tree with the root at the left. A node's area shows its MB, its colour shows what it saves. */
export function treeSpec(nodes: readonly TreeDatum[], savedTitle: string): Spec {
  const known = new Set(nodes.map(({ id }) => id));
  const values = nodes.map((node) => ({
    ...node,
    id: `n:${node.id}`,
    parent: node.parent !== null && known.has(node.parent) ? `n:${node.parent}` : 'all',
  }));
  const roots = values.filter(({ parent }) => parent === 'all');
  const [only] = roots;
  const rooted =
    roots.length === 1 && only !== undefined
      ? values.map((value) => (value === only ? { ...value, parent: null } : value))
      : [{ id: 'all', parent: null, label: '', detail: '', mb: 0, saved: 0 }, ...values];
  return {
    width: 960,
    height: Math.max(120, rooted.length * 34),
    padding: { left: 20, top: 20, bottom: 20, right: 260 },
    background: 'white',
    data: [
      {
        name: 'tree',
        values: rooted,
        transform: [
          { type: 'stratify', key: 'id', parentKey: 'parent' },
          {
            type: 'tree',
            method: 'tidy',
            size: [{ signal: 'height' }, { signal: 'width' }],
            as: ['y', 'x', 'depth', 'children'],
          },
        ],
      },
      {
        name: 'links',
        source: 'tree',
        transform: [{ type: 'treelinks' }, { type: 'linkpath', orient: 'horizontal', shape: 'diagonal' }],
      },
    ],
    scales: [
      {
        name: 'colour',
        type: 'sqrt',
        range: { scheme: 'blues' },
        domain: { data: 'tree', field: 'saved' },
        zero: true,
      },
      { name: 'area', type: 'linear', range: [30, 700], domain: { data: 'tree', field: 'mb' }, zero: true },
    ],
    legends: [{ fill: 'colour', title: savedTitle, titleLimit: 300, orient: 'top-left' }],
    marks: [
      {
        type: 'path',
        from: { data: 'links' },
        encode: { enter: { path: { field: 'path' }, stroke: { value: '#bbb' } } },
      },
      {
        type: 'symbol',
        from: { data: 'tree' },
        encode: {
          enter: {
            x: { field: 'x' },
            y: { field: 'y' },
            size: { scale: 'area', field: 'mb' },
            fill: { scale: 'colour', field: 'saved' },
            stroke: { value: '#555' },
          },
        },
      },
      // A white outline comes first, so that links do not cross the text.
      ...['white', undefined].flatMap((rim) => [
        textMark('label', -3, 'bold', rim),
        textMark('detail', 9, 'normal', rim),
      ]),
    ],
  };
}

function textMark(
  field: string,
  dy: number,
  fontWeight: 'bold' | 'normal',
  rim: string | undefined,
): NonNullable<Spec['marks']>[number] {
  return {
    type: 'text',
    from: { data: 'tree' },
    encode: {
      enter: {
        text: { field },
        x: { field: 'x', offset: 14 },
        y: { field: 'y', offset: dy },
        fontSize: { value: 10 },
        fontWeight: { value: fontWeight },
        baseline: { value: 'middle' },
        ...(rim === undefined ? {} : { stroke: { value: rim }, strokeWidth: { value: 4 } }),
      },
    },
  };
}
