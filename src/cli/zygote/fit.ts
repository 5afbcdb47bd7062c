/** `ol zygote fit`: a static tree out of what a worker recorded. */
import { open, readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { fitTree, TraceDemand } from '../../zygote/fit';
import { pinOf } from '../../zygote/match';
import { UNMEASURED } from '../../zygote/params';
import { loadCosts } from '../../zygote/simulate/reqbench';
import { drawTree, toZygoteNode } from '../../zygote/tree';
import type { DesiredTree, DesiredZygote, ImportCost, PinKey } from '../../zygote/types';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { drawVega, treeSpec } from './chart';
import { numberOf, packagesLabel, text } from './options';

const Costs = z.record(z.string(), z.object({ ms: z.number().min(0), mb: z.number().min(0) }));

async function readTrace(path: string): Promise<TraceDemand> {
  const trace = new TraceDemand();
  // The older half of a trace that reached argyle.dep_trace_max_mb.
  const older = await open(`${path}.1`).catch(() => undefined);
  if (older !== undefined) for await (const line of older.readLines()) trace.add(line);
  const file = await open(path).catch((cause: unknown) => {
    throw new CliError(`--trace: cannot read ${path}`, { cause });
  });
  for await (const line of file.readLines()) trace.add(line);
  if (trace.invocations === 0) throw new CliError(`${path} records no invocation of a function that it defines`);
  return trace;
}

/** Import costs by canonical key, out of a costs.json or a ReqBench directory; none when neither is given. */
async function readCosts(file: string, reqbench: string): Promise<Map<PinKey, ImportCost>> {
  const costs = new Map<PinKey, ImportCost>();
  if (reqbench !== '') for (const [spec, cost] of await loadCosts(reqbench)) costs.set(pinOf(spec).key, cost);
  if (file === '') return costs;
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    throw new CliError(`--costs: cannot read JSON from ${file}`, { cause });
  }
  const parsed = Costs.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new CliError(
      `--costs: ${file}: ${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? 'malformed'}`,
    );
  }
  for (const [spec, cost] of Object.entries(parsed.data)) costs.set(pinOf(spec).key, cost);
  return costs;
}

/** The packages that a node adds to its parent's, costliest first. */
function ownPackages(tree: DesiredTree, zygote: DesiredZygote, costOf: (key: PinKey) => ImportCost): PinKey[] {
  const inherited = new Set(tree.zygotes.find(({ id }) => id === zygote.parent)?.pins);
  return zygote.pins.filter((key) => !inherited.has(key)).sort((a, b) => costOf(b).ms - costOf(a).ms);
}

async function run({ flags, cwd, out }: CommandContext): Promise<number> {
  if (flags.string('trace') === '') throw new CliError("--trace must name a worker's dep-trace.json");
  const path = (name: string): string => (flags.string(name) === '' ? '' : resolve(cwd, flags.string(name)));
  const trace = await readTrace(path('trace'));
  const costs = await readCosts(path('costs'), path('reqbench'));
  const costOf = (key: PinKey): ImportCost => costs.get(key) ?? UNMEASURED;
  const tree = fitTree(trace, costOf, numberOf(flags, 'memory', 1));
  const labelOf = (zygote: DesiredZygote): string => packagesLabel(ownPackages(tree, zygote, costOf).map(trace.specOf));
  const detailOf = ({ gainMsPerSec, mb, forksPerSec }: DesiredZygote): string =>
    `saves ${gainMsPerSec.toFixed(2)} ms per invocation, ${mb.toFixed(1)} MB, ${(forksPerSec * 100).toFixed(1)}% of forks`;
  out(drawTree(tree.zygotes, (zygote) => `${labelOf(zygote)}  ${detailOf(zygote)}`));
  out(
    `${trace.invocations} invocations: ${tree.savedMsPerSec.toFixed(1)} ms saved per cold start ` +
      `by ${tree.zygotes.length} zygotes of ${tree.mb.toFixed(1)} MB\n`,
  );
  if (path('out') !== '') {
    await writeFile(path('out'), `${JSON.stringify(toZygoteNode(tree.zygotes, trace.specOf), null, 2)}\n`);
    out(`wrote ${path('out')}\n`);
  }
  if (path('svg') !== '') {
    const nodes = tree.zygotes.map((zygote) => ({
      id: zygote.id,
      parent: zygote.parent ?? null,
      label: labelOf(zygote),
      detail: detailOf(zygote),
      mb: zygote.mb,
      saved: zygote.gainMsPerSec,
    }));
    await writeFile(path('svg'), await drawVega(treeSpec(nodes, 'ms saved per invocation')));
    out(`wrote ${path('svg')}\n`);
  }
  return EXIT.ok;
}

export const fitCommand: Command = {
  name: 'fit',
  usage: 'fit a static zygote tree to a recorded trace',
  flags: [
    text('trace', '', "the worker's dep-trace.json"),
    text('reqbench', '', 'ReqBench directory with import costs'),
    text('costs', '', 'JSON file with import costs: {"name==version": {"ms": …, "mb": …}}'),
    text('memory', '256', 'MB that the tree may hold'),
    { name: 'out', aliases: ['o'], kind: 'string', usage: 'file for the tree, as import_cache_tree takes it' },
    text('svg', '', 'file for a drawing'),
  ],
  run,
};
