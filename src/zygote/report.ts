/** Body of `GET /zygotes`. */
import type { ImportCache } from '../config/types';
import type { Group, ZygoteGroups } from './fleet/groups';
import type { ZygoteProcess } from './fleet/zygote-process';
import type { ZygoteReport } from './policy/types';

/** @param limitMb budget of `popularity` in MB; 0 means no separate limit */
export function describeZygotes(all: ZygoteGroups, mode: ImportCache, limitMb: number): ZygoteReport {
  const groups = all.list();
  const sum = (group: Group, of: (zygote: ZygoteProcess) => number): number =>
    group.processes.reduce((total, zygote) => total + of(zygote), 0);
  const zygotes = all.live().flatMap(({ id, parent, replicas, state }) => {
    const group = groups.find(({ spec }) => spec.id === id);
    if (group === undefined) return [];
    return {
      id,
      parent: parent ?? null,
      packages: [...group.spec.imports.keys()],
      forks: sum(group, ({ forks }) => forks),
      fromSpares: sum(group, ({ fromSpares }) => fromSpares),
      savedMs: sum(group, ({ savedMs }) => savedMs),
      mb: sum(group, ({ mb }) => mb),
      spares: sum(group, ({ spares }) => spares?.size ?? 0),
      replicas,
      state,
    };
  });
  const usedMb = zygotes.reduce((total, { mb }) => total + mb, 0);
  return { mode, memory: { usedMb, limitMb }, zygotes };
}
