/** `ol zygote show`: the zygotes of a running worker. */
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { drawTree } from '../../zygote/policy/tree';
import type { ZygoteInfo, ZygoteReport } from '../../zygote/policy/types';
import { TARGET_FLAG } from '../ask';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { request } from '../request';
import { authorization, workerTarget, type Target } from '../target';
import { drawVega, treeSpec } from './chart';
import { packagesLabel, text } from './options';

const amount = z.number().min(0);
const Report: z.ZodType<ZygoteReport> = z.object({
  mode: z.enum(['', 'tree', 'multitree', 'popularity']),
  memory: z.object({ usedMb: amount, limitMb: amount }),
  zygotes: z.array(
    z.object({
      id: z.string(),
      parent: z.string().nullable(),
      packages: z.array(z.string()),
      forks: amount,
      fromSpares: amount,
      savedMs: amount,
      mb: amount,
      spares: amount,
      replicas: amount,
      state: z.enum(['creating', 'ready', 'draining']),
    }),
  ),
});

async function fetchReport(target: Target): Promise<ZygoteReport> {
  const { url } = target;
  const answer = await request(`${url}/zygotes`, { headers: authorization(target) }).catch((cause: unknown) => {
    throw new CliError(`no answer from ${url}: is the worker running?`, { cause });
  });
  const body = await answer.body.text();
  if (answer.statusCode !== 200) throw new CliError(`${url}/zygotes answered ${answer.statusCode}: ${body.trim()}`);
  try {
    return Report.parse(JSON.parse(body));
  } catch (cause) {
    throw new CliError(`${url}/zygotes answered something that is no list of zygotes`, { cause });
  }
}

function detailOf({ forks, fromSpares, savedMs, mb, spares, replicas, state }: ZygoteInfo): string {
  const forked = fromSpares > 0 ? `${forks} forks (${fromSpares} from spares)` : `${forks} forks`;
  const parts = [forked, `${savedMs.toFixed(0)} ms saved`, `${mb.toFixed(1)} MB`, `${spares} spares`];
  if (replicas > 1) parts.push(`${replicas} replicas`);
  if (state !== 'ready') parts.push(state);
  return parts.join(', ');
}

/** Formats the report: one line per zygote, then the totals. */
export function describeReport(report: ZygoteReport): string {
  if (report.mode === '') return 'features.import_cache is off: there are no zygotes\n';
  const { usedMb, limitMb } = report.memory;
  const limit = limitMb > 0 ? ` of ${limitMb.toFixed(0)}` : '';
  const tree = drawTree(report.zygotes, (node) => `${packagesLabel(node.packages)}  ${detailOf(node)}`);
  return `${tree}${report.mode}: ${report.zygotes.length} zygotes hold ${usedMb.toFixed(1)}${limit} MB\n`;
}

async function run({ flags, cwd, env, out }: CommandContext): Promise<number> {
  const report = await fetchReport(workerTarget(cwd, flags.string('path'), env));
  out(describeReport(report));
  if (flags.string('svg') === '') return EXIT.ok;
  const path = resolve(cwd, flags.string('svg'));
  const nodes = report.zygotes.map((node) => ({
    id: node.id,
    parent: node.parent,
    label: packagesLabel(node.packages),
    detail: detailOf(node),
    mb: node.mb,
    saved: node.savedMs,
  }));
  await writeFile(path, await drawVega(treeSpec(nodes, 'ms saved')));
  out(`wrote ${path}\n`);
  return EXIT.ok;
}

export const showCommand: Command = {
  name: 'show',
  usage: 'show the zygotes of a running worker',
  flags: [TARGET_FLAG, text('svg', '', 'file for a drawing')],
  run,
};
