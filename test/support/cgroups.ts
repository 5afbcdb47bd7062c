/** Reads the cgroups of this machine's processes. */
import { readFileSync, readdirSync } from 'node:fs';

type Paths = Record<string, string>;

/** A process's cgroup paths by hierarchy; '' is v2. Throws when the process has ended. */
function pathsOf(pid: number | 'self'): Paths {
  const paths: Paths = {};
  for (const line of readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')) {
    const [, hierarchy = '', ...path] = line.split(':');
    paths[hierarchy] = path.join(':');
  }
  return paths;
}

/** The cgroup paths of each process. Processes that end during the scan are left out. */
export function cgroupsOf(): Map<number, Paths> {
  const found = new Map<number, Paths>();
  for (const pid of readdirSync('/proc').map(Number).filter(Boolean)) {
    try {
      found.set(pid, pathsOf(pid));
    } catch {
      continue;
    }
  }
  return found;
}

/** The v1 hierarchies with the controllers that sandboxes need; none on a pure v2 host. */
export function v1Hierarchies(): string[] {
  return Object.keys(pathsOf('self')).filter((name) =>
    ['memory', 'pids', 'cpu'].some((wanted) => name.split(',').includes(wanted)),
  );
}

/** Last components of a process's cgroup paths: of its v2 cgroup, and of its v1 cgroups if all have one name. */
export function slotCgroups(paths: Paths | undefined): Record<'v1' | 'v2', string | undefined> {
  const last = (hierarchy: string): string | undefined => paths?.[hierarchy]?.split('/').pop();
  const v1 = new Set(v1Hierarchies().map(last));
  return { v2: last(''), v1: v1.size === 1 ? [...v1][0] : undefined };
}
