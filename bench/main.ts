/** `make bench`: measures, prints a table, and leaves raw figures and plots in out/bench/<date>/. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { GOALS, makeSubjects } from './catalog';
import { measure } from './harness';
import { describeMachine } from './machine';
import { distributionSpec, latencySpec, renderSvg } from './plot';
import { figuresTable, goalsTable, judge, machineLines } from './report';

const ROOT = resolve(__dirname, '../..');
const USAGE = `usage: make bench BENCH_ARGS="[--rounds N] [--warmup N] [--settle-ms N] [--only NAME,…] [--out DIR] [--list]"`;

function naturalNumber(name: string, text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`--${name} must be a whole number, got '${text}'\n${USAGE}`);
  return Number(text);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '300' },
      warmup: { type: 'string', default: '5' },
      'settle-ms': { type: 'string', default: '15' },
      baseline: { type: 'string', default: 'raw fork' },
      only: { type: 'string' },
      out: { type: 'string' },
      list: { type: 'boolean', default: false },
    },
  });
  const all = makeSubjects(ROOT);
  if (values.list) {
    for (const subject of all) console.log(`${subject.name}: ${subject.about}`);
    return;
  }
  const wanted = values.only?.split(',');
  const unknown = wanted?.find((name) => !all.some((subject) => subject.name === name));
  if (unknown !== undefined) throw new Error(`--only names no subject '${unknown}'; --list shows them`);
  const subjects = all.filter((subject) => wanted?.includes(subject.name) ?? true);
  const plan = {
    rounds: naturalNumber('rounds', values.rounds),
    warmup: naturalNumber('warmup', values.warmup),
    settleMs: naturalNumber('settle-ms', values['settle-ms']),
  };
  const startedAt = new Date();
  const machine = describeMachine(ROOT);
  const rows = await measure(subjects, plan, (line) => {
    console.error(line);
  });
  const goals = judge(rows, GOALS);
  const report = `${machineLines(machine)}\n\n${figuresTable(rows, values.baseline)}\n\n${goalsTable(goals)}\n`;
  const date = startedAt.toISOString().slice(0, 16).replace(':', '');
  const out = resolve(values.out ?? join(ROOT, 'out/bench', date));
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'results.json'), JSON.stringify({ startedAt, machine, plan, rows, goals }, null, 1));
  writeFileSync(join(out, 'report.md'), report);
  writeFileSync(join(out, 'latency.svg'), await renderSvg(latencySpec(rows, 'Time to a running sandbox')));
  writeFileSync(join(out, 'distribution.svg'), await renderSvg(distributionSpec(rows, 'Distribution')));
  console.log(`${report}\nwritten to ${out}`);
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exitCode = 1;
});
