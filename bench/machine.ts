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
