/** Which cgroups the machine's processes are in. */
import { readFileSync, readdirSync } from 'node:fs';

/** The cgroup paths of each process, by hierarchy; '' is v2. Those that end meanwhile are left out. */
export function cgroupsOf(): Map<number, Record<string, string>> {
  const found = new Map<number, Record<string, string>>();
  for (const pid of readdirSync('/proc').map(Number).filter(Boolean)) {
    try {
      const paths: Record<string, string> = {};
      for (const line of readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')) {
        const [, hierarchy = '', ...path] = line.split(':');
        paths[hierarchy] = path.join(':');
      }
      found.set(pid, paths);
    } catch {
      continue;
    }
  }
  return found;
}

/** The v1 hierarchies of the controllers that sandboxes need; on pure v2 hosts none. */
export function v1Hierarchies(): string[] {
  return Object.keys(cgroupsOf().get(process.pid) ?? {}).filter((name) =>
    ['memory', 'pids', 'cpu'].some((wanted) => name.split(',').includes(wanted)),
  );
}

/** Last components of a process's cgroup paths: its v2 cgroup, and its v1 ones if all are of one name. */
export function slotCgroups(paths: Record<string, string> | undefined): Record<'v1' | 'v2', string | undefined> {
  const last = (hierarchy: string): string | undefined => paths?.[hierarchy]?.split('/').pop();
  const v1 = new Set(v1Hierarchies().map(last));
  return { v2: last(''), v1: v1.size === 1 ? [...v1][0] : undefined };
}
