/**
 * `make paper`: reproduces the figures of the SOCK paper on this machine. Writes plots, a report and raw data to
 * out/paper/<date>/.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { measure, SETTLE_MS } from '../harness';
import type { Row } from '../harness';
import { describeMachine, processorTime } from '../machine';
import { renderSvg } from '../plot';
import { figuresTable, machineLines } from '../report';
import { makePaperSubjects, PRIMITIVE_CLAIMS, paperFigures } from './catalog';
import { choosePackages } from '../packages';
import { latencyFigure, primitivesFigure } from './plots';
import { makePrimitives } from './primitives';
import { aboutLines, claimsTable, compare, primitivesTable } from './report';
import type { ClaimResult } from './report';

const ROOT = resolve(__dirname, '../../../..');
const USAGE = 'usage: make paper PAPER_ARGS="[--rounds N] [--primitive-rounds N] [--minutes N] [--out DIR]"';
const WARMUP = 2;
const PRIMITIVES = { file: '4-primitives', title: 'Isolation primitives of Linux, alone and at once' };

interface Section {
  file: string;
  title: string;
  claims: ClaimResult[];
  text: string;
  svg: string;
}

function positiveNumber(name: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`--${name} must be a whole number from 1, got '${text}'\n${USAGE}`);
  return Number(text);
}

const log = (line: string): void => {
  console.error(line);
};

async function containerSections(rows: readonly Row[], label: string): Promise<Section[]> {
  const sections = paperFigures(label).map(async ({ file, title, rows: names, claims }) => {
    const shown = rows.filter(({ name }) => names.includes(name));
    const results = compare(rows, claims);
    const text = `${figuresTable(shown, names.at(-1) ?? '')}\n\n${aboutLines(shown)}`;
    return { file, title, claims: results, text, svg: await renderSvg(latencyFigure(title, shown, results)) };
  });
  return Promise.all(sections);
}

async function primitivesSection(rows: readonly Row[]): Promise<Section> {
  const { file, title } = PRIMITIVES;
  const claims = compare(rows, PRIMITIVE_CLAIMS);
  const text = `${primitivesTable(rows)}\n\nA child made with the primitive, its end and its removal.`;
  return { file, title, claims, text, svg: await renderSvg(primitivesFigure(title, rows, claims)) };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '60' },
      'primitive-rounds': { type: 'string' },
      minutes: { type: 'string', default: '12' },
      out: { type: 'string' },
    },
  });
  const rounds = positiveNumber('rounds', values.rounds);
  const primitiveRounds = positiveNumber(
    'primitive-rounds',
    values['primitive-rounds'] ?? String(Math.min(rounds, 20)),
  );
  const startedAt = new Date();
  const endMs = startedAt.getTime() + positiveNumber('minutes', values.minutes) * 60_000;
  const machine = describeMachine(ROOT);

  log(`isolation primitives: ${primitiveRounds} rounds`);
  const third = startedAt.getTime() + (endMs - startedAt.getTime()) / 3;
  const primitivePlan = { rounds: primitiveRounds, warmup: 1, settleMs: 2, untilMs: third };
  const primitives = await measure(makePrimitives(ROOT), primitivePlan, log);
  const packages = await choosePackages(ROOT);
  log(`containers, zygotes, ${packages.label} and image resizing: ${rounds} rounds, after the set-up`);
  const stolen = (): number => processorTime().stolen;
  const plan = { rounds, warmup: WARMUP, settleMs: SETTLE_MS, untilMs: endMs, stolen };
  const rows = await measure(makePaperSubjects(ROOT, packages), plan, log).finally(() => packages.close());

  const sections = [...(await containerSections(rows, packages.label)), await primitivesSection(primitives)];
  sections.sort((a, b) => a.file.localeCompare(b.file));
  const parts = sections.map(({ file, title, claims, text }) => {
    return `## ${file[0] ?? ''}. ${title}\n\n${claimsTable(claims)}\n\n${text}\n\n![${title}](${file}.svg)\n`;
  });
  const report = `# The SOCK paper's figures (USENIX ATC 2018), here\n\n${machineLines(machine)}\n\n${parts.join('\n')}`;
  const date = startedAt.toISOString().slice(0, 16).replace(':', '');
  const out = resolve(values.out ?? join(ROOT, 'out/paper', date));
  mkdirSync(out, { recursive: true });
  const claims = sections.map(({ file, title, claims: results }) => ({ file, title, claims: results }));
  const results = { startedAt, machine, plan, primitivePlan, claims, rows, primitives };
  writeFileSync(join(out, 'results.json'), JSON.stringify(results, null, 1));
  writeFileSync(join(out, 'report.md'), report);
  for (const { file, svg } of sections) writeFileSync(join(out, `${file}.svg`), svg);
  console.log(`${report}\nwritten to ${out}`);
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exitCode = 1;
});
