/**
 * `make bench-cache`: measures the savings of the zygote policies on live workers, with a trace over real packages.
 * Output: out/cache-bench/.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine, processorTime, stolenShare } from '../machine';
import { renderSvg } from '../plot';
import { machineLines } from '../report';
import { latencySpec, totalsSpec } from './plots';
import { reportOf, rowsOf } from './report';
import { MODES, runCacheBench, warmupOf } from './run';
import { reqbenchSource } from './source';

const ROOT = resolve(__dirname, '../../../..');
const CALL_MB = 256;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      reqbench: { type: 'string', default: '' },
      sets: { type: 'string', default: '64' },
      functions: { type: 'string', default: '200' },
      calls: { type: 'string', default: '1000' },
      minutes: { type: 'string', default: '10' },
      zipf: { type: 'string', default: '1' },
      drift: { type: 'string', default: '0.5' },
      packages: { type: 'string', default: '2' },
      seed: { type: 'string', default: '1' },
      memory: { type: 'string', default: '1000' },
      'tree-share': { type: 'string', default: '0.5' },
      modes: { type: 'string', default: MODES.join(',') },
      installed: { type: 'string' },
      out: { type: 'string', default: 'out/cache-bench' },
    },
  });
  if (values.reqbench === '') throw new Error('make bench-cache needs REQBENCH=directory with the data of ReqBench');
  const number = (name: Exclude<keyof typeof values, 'reqbench' | 'modes' | 'installed' | 'out'>): number => {
    const value = Number(values[name]);
    if (!(value > 0)) throw new Error(`--${name} must be a number above 0, not '${values[name]}'`);
    return value;
  };
  const wanted = values.modes.split(',');
  const machine = describeMachine(ROOT);
  const before = processorTime();
  const trace = {
    functions: number('functions'),
    invocations: number('calls'),
    zipf: number('zipf'),
    seed: number('seed'),
    ratePerSec: 1,
    drift: Number(values.drift),
    packagesPerFunction: number('packages'),
  };
  if (wanted.some((mode) => !MODES.some((one) => one === mode))) {
    throw new Error(`--modes must name some of ${MODES.join(', ')}, not '${values.modes}'`);
  }
  const warmup = warmupOf(trace.invocations);
  const poolMb = number('memory');
  const result = await runCacheBench({
    root: ROOT,
    source: await reqbenchSource(resolve(values.reqbench), number('sets')),
    trace,
    modes: MODES.filter((mode) => wanted.includes(mode)),
    poolMb,
    callMb: CALL_MB,
    treeShare: number('tree-share'),
    playMs: number('minutes') * 60_000,
    settings: {},
    installed: values.installed === undefined ? undefined : resolve(values.installed),
    log: (line) => {
      console.error(`${new Date().toISOString().slice(11, 19)} ${line}`);
    },
  });
  const rows = rowsOf(result, warmup);
  const stolen = stolenShare(before, processorTime());
  const calls = Math.max(...[...result.lives.values()].map((life) => life.calls.length));
  const about = `${calls} calls of ${result.functions} functions with ${result.sets} requirement sets of ${result.packages} packages; Zipf ${trace.zipf}, drift ${trace.drift}, seed ${trace.seed}; ${poolMb} MB for each worker`;
  const report = `# The zygote policies, live\n\n${about}. The first ${warmup} calls do not count; calls to the workers took turns. The host took ${stolen}.\n\n${machineLines(machine)}\n\n${reportOf(rows)}`;
  const out = resolve(values.out);
  await mkdir(out, { recursive: true });
  const raw = {
    machine,
    trace,
    played: result.trace,
    costs: result.costs,
    lives: Object.fromEntries(result.lives),
    simulated: Object.fromEntries(result.simulated),
  };
  await writeFile(join(out, 'cache.json'), JSON.stringify(raw));
  await writeFile(join(out, 'cache.md'), report);
  await writeFile(join(out, 'cache-latency.svg'), await renderSvg(latencySpec(result.lives, warmup)));
  await writeFile(join(out, 'cache-totals.svg'), await renderSvg(totalsSpec(rows)));
  console.log(`${report}\nwritten to ${out}`);
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exitCode = 1;
});
