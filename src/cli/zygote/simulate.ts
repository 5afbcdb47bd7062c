/** `ol zygote simulate`: compares the savings of policies on long traces built from ReqBench data. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { TopLevelSpec } from 'vega-lite';
import { compare } from '../../zygote/simulate/compare';
import type { SimResult } from '../../zygote/simulate/engine';
import { loadReqbench } from '../../zygote/simulate/reqbench';
import { DEFAULT_TRACE, makeTrace, type TraceOptions } from '../../zygote/simulate/trace';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { drawVegaLite } from './chart';
import { numberOf, numbersOf, table, text } from './options';

const HEADER = [
  'policy',
  'memory MB',
  'total cold ms',
  'median',
  'p99',
  'cold starts',
  'hit rate',
  'ms saved',
  'peak MB',
];

function row(result: SimResult): string[] {
  return [
    result.policy,
    `${result.memoryMb}`,
    result.totalColdMs.toFixed(0),
    result.medianColdMs.toFixed(1),
    result.p99ColdMs.toFixed(1),
    `${result.coldStarts}`,
    `${(result.hitRate * 100).toFixed(1)}%`,
    `${(result.savedShare * 100).toFixed(1)}%`,
    result.peakMb.toFixed(1),
  ];
}

/** A chart of the comparison: totals, tail latencies and savings by memory. */
export function comparisonSpec(results: readonly SimResult[], title: string): TopLevelSpec {
  const panel = (field: keyof SimResult, name: string, type: 'log' | 'linear') => ({
    width: 300,
    height: 260,
    mark: { type: 'line' as const, point: true },
    encoding: {
      x: { field: 'memoryMb', type: 'ordinal' as const, title: 'memory for everything, MB' },
      y: { field, type: 'quantitative' as const, title: name, scale: { type } },
      color: { field: 'policy', type: 'nominal' as const, sort: ['none', 'root', 'lru', 'static', 'popularity'] },
    },
  });
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    title,
    background: 'white',
    data: { values: results.map((result) => ({ ...result })) },
    hconcat: [
      panel('totalColdMs', 'cold starts together, ms', 'log'),
      panel('p99ColdMs', 'cold start p99, ms', 'log'),
      panel('savedShare', 'share of import ms spared', 'linear'),
    ],
  };
}

async function run({ flags, cwd, out }: CommandContext): Promise<number> {
  const reqbench = flags.string('reqbench');
  if (reqbench === '') throw new CliError('--reqbench must name the directory with the ReqBench data');
  const options: TraceOptions = {
    invocations: numberOf(flags, 'invocations', 100, 10_000_000),
    functions: numberOf(flags, 'functions', 1, 100_000),
    zipf: numberOf(flags, 'zipf', 0, 10),
    seed: numberOf(flags, 'seed', 0, 2 ** 31),
    ratePerSec: numberOf(flags, 'rate', 0.001, 100_000),
    drift: numberOf(flags, 'drift', 0, 1000),
    packagesPerFunction: numberOf(flags, 'packages', 1, 20),
  };
  const memories = numbersOf(flags, 'memory', 64);
  const data = await loadReqbench(resolve(cwd, reqbench));
  const results = compare(makeTrace(data, options), data, memories);
  out(table(HEADER, results.map(row)));
  const dir = flags.string('out');
  if (dir === '') return EXIT.ok;
  const target = resolve(cwd, dir);
  await mkdir(target, { recursive: true });
  const title = `${options.invocations} invocations of ${options.functions} functions, Zipf ${options.zipf}, drift ${options.drift}`;
  await writeFile(join(target, 'simulate.json'), `${JSON.stringify({ options, results }, null, 2)}\n`);
  await writeFile(join(target, 'simulate.svg'), await drawVegaLite(comparisonSpec(results, title)));
  out(`wrote ${join(target, 'simulate.json')} and simulate.svg\n`);
  return EXIT.ok;
}

export const simulateCommand: Command = {
  name: 'simulate',
  usage: 'compare zygote policies on a simulated worker',
  flags: [
    text('reqbench', '', 'directory with the ReqBench data'),
    text('invocations', `${DEFAULT_TRACE.invocations}`, 'length of the trace; its first tenth is warm-up'),
    text('functions', `${DEFAULT_TRACE.functions}`, 'functions that are called'),
    text('zipf', `${DEFAULT_TRACE.zipf}`, "exponent of the functions' popularity"),
    text('memory', '256,512,1024', 'MB for instances, zygotes and spares together; several by commas'),
    text('seed', `${DEFAULT_TRACE.seed}`, 'the same seed gives the same trace'),
    text('rate', `${DEFAULT_TRACE.ratePerSec}`, 'invocations per second'),
    text('drift', `${DEFAULT_TRACE.drift}`, 'popularity changes, per function and trace'),
    text('packages', `${DEFAULT_TRACE.packagesPerFunction}`, 'top-level packages per function, mean'),
    text('out', '', 'directory for simulate.json and simulate.svg'),
  ],
  run,
};
