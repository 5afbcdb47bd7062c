/** `ol zygote fit`: fits a static tree to a worker's trace or to ReqBench's package counts. */
import { open, readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { byName, CountedDemand, weightiest } from '../../zygote/policy/counted-packages';
import { fitTree, headsFirst, TraceDemand, type Asked } from '../../zygote/policy/fit';
import { pinOf } from '../../zygote/policy/match';
import { DEFAULT_PARAMS, UNMEASURED } from '../../zygote/policy/params';
import { loadCosts, loadCounts } from '../../zygote/simulate/reqbench';
import { drawTree, toZygoteNode } from '../../zygote/policy/tree';
import type { DesiredTree, DesiredZygote, ImportCost, PinKey } from '../../zygote/policy/types';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import type { Flags } from '../flags';
import { type Progress, withProgress } from '../progress';
import { drawVega, treeSpec } from './chart';
import { closureOf } from './closures';
import { numberOf, packagesLabel, text } from './options';

const Costs = z.record(z.string(), z.object({ ms: z.number().min(0), mb: z.number().min(0) }));

async function readTrace(path: string): Promise<TraceDemand> {
  const trace = new TraceDemand();
  // The older half of a trace that has reached argyle.dep_trace_max_mb.
  const older = await open(`${path}.1`).catch(() => undefined);
  if (older !== undefined) for await (const line of older.readLines()) trace.add(line);
  const file = await open(path).catch((cause: unknown) => {
    throw new CliError(`--trace: cannot read ${path}`, { cause });
  });
  for await (const line of file.readLines()) trace.add(line);
  if (trace.invocations === 0) throw new CliError(`${path} records no invocation of a function that it defines`);
  return trace;
}

/** Import costs by canonical key, from a costs.json or a ReqBench directory; empty without either. */
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

/** The packages that a node adds to its parent's. */
function ownPackages(tree: DesiredTree, zygote: DesiredZygote): PinKey[] {
  const inherited = new Set(tree.zygotes.find(({ id }) => id === zygote.parent)?.pins);
  return zygote.pins.filter((key) => !inherited.has(key));
}

interface Fitted {
  asked: Asked;
  costOf: (key: PinKey) => ImportCost;
  /** What the savings refer to, for the output: `500 invocations`. */
  of: string;
}

async function recorded(flags: Flags, path: (name: string) => string): Promise<Fitted> {
  if (flags.string('trace') === '') throw new CliError("--trace must name a worker's dep-trace.json");
  const trace = await readTrace(path('trace'));
  const costs = await readCosts(path('costs'), path('reqbench'));
  return { asked: trace, costOf: (key) => costs.get(key) ?? UNMEASURED, of: `${trace.invocations} invocations` };
}

/** The packages of ReqBench with the highest total import cost, each with its current dependencies. */
async function counted(
  { flags, env, out }: CommandContext,
  path: (name: string) => string,
  progress: Progress,
): Promise<Fitted> {
  if (flags.string('reqbench') === '') throw new CliError('--today needs the counts of --reqbench');
  if (flags.string('trace') !== '') throw new CliError('--today and --trace exclude each other');
  const { counts, costs } = byName(
    await loadCounts(path('reqbench')),
    await readCosts(path('costs'), path('reqbench')),
  );
  const costOf = (name: string): ImportCost => costs.get(name) ?? UNMEASURED;
  const asked = new CountedDemand();
  const names = weightiest(counts, costOf, numberOf(flags, 'today', 1, 500));
  progress.step('resolving packages', names.length);
  const print = progress.around(out);
  for (const [index, name] of names.entries()) {
    progress.at(index);
    const closure = await closureOf(name, flags.string('python'), env);
    if (closure === undefined) print(`passed over ${name}: uv finds no wheels for it\n`);
    else asked.add(counts.get(name) ?? 0, closure);
  }
  return { asked, costOf, of: `${names.length} counted packages` };
}

async function run(context: CommandContext): Promise<number> {
  const { flags, cwd, out } = context;
  const path = (name: string): string => (flags.string(name) === '' ? '' : resolve(cwd, flags.string(name)));
  const { asked, costOf, of } = await withProgress((progress) => {
    progress.step('reading the trace');
    return flags.string('today') === '' ? recorded(flags, path) : counted(context, path, progress);
  });
  const params = { ...DEFAULT_PARAMS, maxZygotes: numberOf(flags, 'nodes', 1, DEFAULT_PARAMS.maxZygotes) };
  const tree = fitTree(asked, costOf, numberOf(flags, 'memory', 1), params);
  const inOrder = (keys: PinKey[]): PinKey[] => headsFirst(keys, costOf, asked.requiresOf);
  const labelOf = (zygote: DesiredZygote): string =>
    packagesLabel(inOrder(ownPackages(tree, zygote)).map(asked.specOf));
  const detailOf = ({ gainMsPerSec, mb, forksPerSec }: DesiredZygote): string =>
    `saves ${gainMsPerSec.toFixed(2)} ms per invocation, ${mb.toFixed(1)} MB, ${(forksPerSec * 100).toFixed(1)}% of forks`;
  out(drawTree(tree.zygotes, (zygote) => `${labelOf(zygote)}  ${detailOf(zygote)}`));
  out(
    `${of}: ${tree.savedMsPerSec.toFixed(1)} ms saved per cold start ` +
      `by ${tree.zygotes.length} zygotes of ${tree.mb.toFixed(1)} MB\n`,
  );
  if (path('out') !== '') {
    const file = toZygoteNode(tree.zygotes, asked.specOf, inOrder);
    await writeFile(path('out'), `${JSON.stringify(file, null, 2)}\n`);
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
  usage: 'fit a static zygote tree to a recorded trace, or to what ReqBench counted',
  flags: [
    text('trace', '', "the worker's dep-trace.json"),
    text('reqbench', '', 'ReqBench directory with import costs'),
    text('costs', '', 'JSON file with import costs: {"name==version": {"ms": …, "mb": …}}'),
    text('memory', '256', 'MB that the tree may hold'),
    text('nodes', `${DEFAULT_PARAMS.maxZygotes}`, 'most nodes, the root included'),
    text('today', '', 'fit to so many packages that ReqBench counts, with what they need today, as uv resolves it'),
    text('python', '3.11', 'version of Python that --today is for'),
    { name: 'out', aliases: ['o'], kind: 'string', usage: 'file for the tree, as import_cache_tree takes it' },
    text('svg', '', 'file for a drawing'),
  ],
  run,
};
