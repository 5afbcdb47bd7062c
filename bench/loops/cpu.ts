/** CPU time of a worker and of the processes in its sandboxes, from /proc. */
import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';

/** A clock tick of the kernel, ms. */
const TICK_MS = 10;

async function pids(isOne: (pid: string) => Promise<boolean>): Promise<string[]> {
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const wanted = await Promise.all(all.map((pid) => isOne(pid).catch(() => false)));
  return all.filter((_, index) => wanted[index]);
}

/** The worker process of this directory. */
export function processOf(home: string): Promise<string[]> {
  return pids(async (pid) => {
    const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
    return args.includes(home) && args.includes('up');
  });
}

/** The children of a process. */
export function childrenOf(parent: number): Promise<string[]> {
  return pids(async (pid) => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === String(parent);
  });
}

/** The sandboxes' processes of this directory's worker. */
export function insideOf(home: string): Promise<string[]> {
  return pids(async (pid) => (await readFile(`/proc/${pid}/cgroup`, 'utf8')).includes(`/${basename(home)}`));
}

/** User and system time of these processes so far, ms. */
export async function cpuMs(processes: Promise<readonly string[]>): Promise<number> {
  const times = (await processes).map(async (pid) => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * TICK_MS;
  });
  return (await Promise.all(times)).reduce((sum, one) => sum + one, 0);
}
