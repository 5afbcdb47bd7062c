/** `ol top`: a live table of a worker's activity. */
import { setTimeout as sleep } from 'node:timers/promises';
import { askText, JSON_FLAG, TARGET_FLAG, targetOf } from '../ask';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { printable } from './printable';
import { overview, parseSamples, type Overview } from './rates';

const CLEAR = '\x1b[H\x1b[2J';

function number(flags: CommandContext['flags'], name: string, least: number): number {
  const value = Number(flags.string(name));
  if (!Number.isFinite(value) || value < least) {
    throw new CliError(`--${name} must be a number of at least ${least}, not ${flags.string(name)}`);
  }
  return value;
}

const shown = (value: number, digits: number): string => (Number.isNaN(value) ? '-' : value.toFixed(digits));

/** Formats the table. Pure. */
export function table(url: string, now: Overview): string {
  const { perSecond, coldShare, instances, queued, usedMb, poolMb, functions } = now;
  const states = Object.entries(instances).map(([state, count]) => `${count} ${state}`);
  const head =
    `${url}  ${shown(perSecond, 1)} requests/s  ${shown(coldShare * 100, 1)} % cold  ${queued} queued\n` +
    `instances: ${states.join(', ') || 'none'}  memory: ${shown(usedMb, 0)} of ${shown(poolMb, 0)} MB\n`;
  const rows = functions.map((row) => [
    printable(row.lambda),
    shown(row.perSecond, 1),
    shown(row.p50Ms, 1),
    shown(row.p99Ms, 1),
    shown(row.failedShare * 100, 1),
  ]);
  const titles = ['FUNCTION', 'REQ/S', 'P50 MS', 'P99 MS', 'FAILED %'];
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ');
  return `${head}\n${[titles, ...rows].map((cells) => `${line(cells).trimEnd()}\n`).join('')}`;
}

async function run(context: CommandContext): Promise<number> {
  const { flags, out } = context;
  const seconds = number(flags, 'interval', 0.1);
  const count = number(flags, 'count', 0);
  const target = targetOf(context);
  const json = flags.bool('json');
  const clear = !json && count !== 1 && process.stdout.isTTY;
  let before = parseSamples(await askText(target, '/metrics'));
  let atMs = performance.now();
  for (let turn = 1; count === 0 || turn <= count; turn++) {
    await sleep(seconds * 1000);
    const after = parseSamples(await askText(target, '/metrics'));
    const nowMs = performance.now();
    const now = overview(before, after, (nowMs - atMs) / 1000);
    [before, atMs] = [after, nowMs];
    out(json ? `${JSON.stringify(now)}\n` : `${clear ? CLEAR : ''}${table(target.url, now)}`);
  }
  return EXIT.ok;
}

export const topCommand: Command = {
  name: 'top',
  usage: 'show rates, latencies and memory of a running worker',
  flags: [
    TARGET_FLAG,
    JSON_FLAG,
    { name: 'interval', aliases: ['i'], kind: 'string', value: '1', usage: 'seconds between readings' },
    { name: 'count', aliases: ['n'], kind: 'string', value: '0', usage: 'end after so many tables; 0 is never' },
  ],
  interspersed: true,
  run,
};
