/** The host ids of processes: their own, those of their user namespaces, and those of a helper. */
import { readFileSync } from 'node:fs';
import { SANDBOX_IDS } from './fixture';

export interface Ids {
  first: number;
  count: number;
}

/** The effective uid, which a process has from its start. */
export function uidOf(pid: number): number {
  return Number(/^Uid:\s+\d+\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** The host ids that the user namespace of a process maps. */
export function mapOf(pid: number, kind: 'uid' | 'gid' = 'uid'): Ids[] {
  const lines = readFileSync(`/proc/${pid}/${kind}_map`, 'utf8').trim().split('\n');
  return lines
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([, first = 0, count = 0]) => ({ first, count }));
}

/** Whether the user namespace of a process maps this host id. */
export function maps(pid: number, id: number): boolean {
  return mapOf(pid).some(({ first, count }) => id >= first && id < first + count);
}

/** The number of host ids that the user namespace of a process maps. */
export function mapped(pid: number): number {
  return mapOf(pid).reduce((sum, { count }) => sum + count, 0);
}

/** The ids of a helper, from its lock on them. */
export function idsOf(helperPid: number | undefined, from = SANDBOX_IDS.first): Ids {
  const lock = readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .map((line) => line.split(/\s+/))
    .find((fields) => fields[4] === String(helperPid) && Number(fields[6]) >= from);
  return { first: Number(lock?.[6]), count: Number(lock?.[7]) - Number(lock?.[6]) + 1 };
}
