import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** Properties of the machine that a reader needs to judge the figures. */
export interface Machine {
  cpu: string;
  cores: number;
  memoryGb: number;
  kernel: string;
  node: string;
  python: string;
  cgroups: 'v2' | 'hybrid' | 'v1';
  load: string;
  commit: string;
}

function firstLine(program: string, args: string[]): string {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return 'unknown';
  }
}

/** The mounted cgroup hierarchies, from /proc/self/mountinfo. */
function cgroupKind(): Machine['cgroups'] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  if (!/ - cgroup /.test(mounts)) return 'v2';
  return / - cgroup2 /.test(mounts) ? 'hybrid' : 'v1';
}

/** @param root the project's directory, for its commit */
export function describeMachine(root: string): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    python: firstLine('/usr/bin/python3', ['--version']),
    cgroups: cgroupKind(),
    load: readFileSync('/proc/loadavg', 'utf8').trim(),
    commit: firstLine('git', ['-C', root, 'rev-parse', '--short', 'HEAD']),
  };
}

/** CPU time since boot, in ticks of 10 ms. */
export interface ProcessorTime {
  total: number;
  /** Steal time: a process was ready, but the host ran another machine. */
  stolen: number;
}

/** @param stat contents of /proc/stat */
export function processorTime(stat = readFileSync('/proc/stat', 'utf8')): ProcessorTime {
  const [, ...fields] = (stat.split('\n', 1)[0] ?? '').split(/\s+/);
  // Fields: user nice system idle iowait irq softirq steal. user and nice include guest and guest_nice.
  const ticks = fields.slice(0, 8).map(Number);
  return { total: ticks.reduce((sum, each) => sum + each, 0), stolen: ticks[7] ?? 0 };
}

/** The share of stolen CPU time between two readings, as text. */
export function stolenShare(before: ProcessorTime, after: ProcessorTime): string {
  const share = (after.stolen - before.stolen) / Math.max(1, after.total - before.total);
  return `${(100 * share).toFixed(2)} %`;
}
