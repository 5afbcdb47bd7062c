import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** What a reader needs to know of the machine to judge the figures. */
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

/** Which hierarchies are mounted, by /proc/self/mountinfo. */
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

/** The processors' time since boot, in ticks of 10 ms. */
export interface ProcessorTime {
  total: number;
  /** What a process could have had, but the host gave to somebody else. */
  stolen: number;
}

/** @param stat the contents of /proc/stat */
export function processorTime(stat = readFileSync('/proc/stat', 'utf8')): ProcessorTime {
  const [, ...fields] = (stat.split('\n', 1)[0] ?? '').split(/\s+/);
  // user nice system idle iowait irq softirq steal; guest and guest_nice are part of user and nice.
  const ticks = fields.slice(0, 8).map(Number);
  return { total: ticks.reduce((sum, each) => sum + each, 0), stolen: ticks[7] ?? 0 };
}

/** The share of the processors' time between two moments that the host took away, for people. */
export function stolenShare(before: ProcessorTime, after: ProcessorTime): string {
  const share = (after.stolen - before.stolen) / Math.max(1, after.total - before.total);
  return `${(100 * share).toFixed(2)} %`;
}
