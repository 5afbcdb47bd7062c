/** `make bench`: measures, prints a table, and writes raw figures and plots to out/bench/<date>/. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { measureCapacity } from './capacity';
import type { Capacity } from './capacity';
import { GOALS, LIMITS, makeSubjects } from './catalog';
import { measure, SETTLE_MS } from './harness';
import type { Row } from './harness';
import { describeMachine, processorTime, stolenShare } from './machine';
import { distributionSpec, latencySpec, renderSvg } from './plot';
import { choosePackages } from './packages';
import type { BenchPackages } from './packages';
import { breakdownTable, figuresTable, goalsTable, judge, judgeCapacity, machineLines } from './report';
import { SkipSubject } from './subject';

const ROOT = resolve(__dirname, '../../..');
const USAGE = `usage: make bench BENCH_ARGS="[--rounds N] [--warmup N] [--settle-ms N] [--minutes N] [--only NAME,…] [--no-capacity] [--out DIR] [--list]"`;

function naturalNumber(name: string, text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`--${name} must be a whole number, got '${text}'\n${USAGE}`);
  return Number(text);
}

const log = (line: string): void => {
  console.error(line);
};

async function capacityOf(packages: BenchPackages): Promise<Capacity | undefined> {
  const { handler } = packages;
  const settings = { ...packages.settings, limits: LIMITS };
  try {
    return await measureCapacity({ root: ROOT, settings, handler, log });
  } catch (thrown) {
    log(`capacity: ${thrown instanceof SkipSubject ? '' : 'failed: '}${String(thrown)}`);
    return undefined;
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '300' },
      warmup: { type: 'string', default: '50' },
      'settle-ms': { type: 'string', default: String(SETTLE_MS) },
      baseline: { type: 'string', default: 'raw fork' },
      minutes: { type: 'string', default: '17' },
      only: { type: 'string' },
      'no-capacity': { type: 'boolean', default: false },
      out: { type: 'string' },
      list: { type: 'boolean', default: false },
    },
  });
  const startedAt = new Date();
  const packages = await choosePackages(ROOT);
  try {
    const all = makeSubjects(ROOT, packages);
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
      stolen: () => processorTime().stolen,
      untilMs: startedAt.getTime() + naturalNumber('minutes', values.minutes) * 60_000,
    };
    const described = describeMachine(ROOT);
    // This measurement comes first, while no other part of the bench runs.
    const capacity = values['no-capacity'] ? undefined : await capacityOf(packages);
    const before = processorTime();
    const rows = await measure(subjects, plan, log);
    const machine = { ...described, stolenByHost: stolenShare(before, processorTime()) };
    const goals = [...judge(rows, GOALS), ...judgeCapacity(capacity)];
    const figures = figuresTable(rows, values.baseline);
    const parts =
      capacity === undefined || capacity.breakdown.length === 0 ? [] : [breakdownTable(capacity.breakdown, rows)];
    const report = `${[machineLines(machine), figures, ...parts, goalsTable(goals)].join('\n\n')}\n`;
    await write(values.out, startedAt, report, rows, { startedAt, machine, plan, rows, capacity, goals });
  } finally {
    packages.close();
  }
}

/** Writes all results to the given directory, or to one named by the date, and prints the report. */
async function write(
  folder: string | undefined,
  startedAt: Date,
  report: string,
  rows: readonly Row[],
  results: object,
): Promise<void> {
  const date = startedAt.toISOString().slice(0, 16).replace(':', '');
  const out = resolve(folder ?? join(ROOT, 'out/bench', date));
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'results.json'), JSON.stringify(results, null, 1));
  writeFileSync(join(out, 'report.md'), report);
  writeFileSync(join(out, 'latency.svg'), await renderSvg(latencySpec(rows, 'Time to a running sandbox')));
  writeFileSync(join(out, 'distribution.svg'), await renderSvg(distributionSpec(rows, 'Distribution')));
  console.log(`${report}\nwritten to ${out}`);
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exitCode = 1;
});
