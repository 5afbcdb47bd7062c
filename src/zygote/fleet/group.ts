/** One set of packages and the zygotes that have imported it. */
import type { Stats } from '../../metrics';
import type { SandboxFactory } from '../../sandbox/factory';
import type { MemoryPool } from '../../sandbox/memory/memory-pool';
import type { SandboxLimits } from '../../sandbox/types';
import type { GroupSpec } from './zygote-maker';
import type { ZygoteProcess } from './zygote-process';
import { pinOf } from '../policy/match';
import type { ZygotePackages } from '../plan-tree';
import type { StartQueue } from '../starts/queue';
import type { CostOf, LiveZygote, PinKey } from '../policy/types';

export interface GroupsOptions {
  pool: MemoryPool;
  packages: Pick<ZygotePackages, 'installedVersion'>;
  factory: SandboxFactory;
  stats: Stats;
  /** The limits of spares. */
  leafLimits: SandboxLimits;
  /** The queue in which new zygotes wait for their turn among starts; without it they are made at once. */
  starts?: StartQueue | undefined;
  /** Expected import costs of packages. */
  costOf?: CostOf | undefined;
  /** Called for every zygote that could not be made, for the log. */
  onFailure?: ((id: string, error: unknown) => void) | undefined;
}

export interface Group {
  readonly spec: GroupSpec;
  readonly processes: ZygoteProcess[];
  creating: Promise<ZygoteProcess> | undefined;
  replicas: number;
  /** Number of spares of all replicas together. */
  spares: number;
  draining: boolean;
  /** True when the last process died or failed in use and a new one is being made. */
  lost: boolean;
  /** Timer of the next attempt to make a lost group again. */
  retry: NodeJS.Timeout | undefined;
  /** Number of consecutive early deaths. */
  deaths: number;
  /** The group's process is not made before this time, in ms of Date.now(). The back-off doubles with each failure. */
  notBeforeMs: number;
  failures: number;
  /** performance.now() at the start of the new process's imports; Infinity while the process waits for its turn. */
  startedAtMs: number;
  /** True when calls wait for the group; the group is then made without a turn. */
  urgent: boolean;
  /** POLICY: a group that was made for waiting calls is not retired before this time, in ms of Date.now(). */
  heldUntilMs: number;
}

/** Makes a group without processes. */
export function newGroup(spec: GroupSpec, replicas: number): Group {
  return {
    spec,
    processes: [],
    creating: undefined,
    replicas,
    spares: 0,
    draining: false,
    lost: false,
    retry: undefined,
    deaths: 0,
    notBeforeMs: 0,
    failures: 0,
    startedAtMs: Infinity,
    urgent: false,
    heldUntilMs: 0,
  };
}

/** A group with its pins, for lookupPins(). */
export type PinnedGroup = Group & { pins: readonly PinKey[] };

export function withPins(group: Group): PinnedGroup {
  return Object.assign(group, { pins: group.spec.pins });
}

/** Whether a process of the group can be forked now. */
export function isForkable(group: Group): boolean {
  return !group.draining && group.processes.some((zygote) => zygote.isReady);
}

/** Whether the group's first process is being made. Calls may wait for it. */
export function isComing({ processes, creating, draining, startedAtMs }: Group): boolean {
  return !draining && creating !== undefined && startedAtMs !== Infinity && !processes.some(({ isReady }) => isReady);
}

/** Whether the group's first process may be made now. */
export function mayMake({ draining, processes, creating, startedAtMs, notBeforeMs }: Group): boolean {
  const waits = creating === undefined || startedAtMs === Infinity;
  return !draining && processes.length === 0 && waits && Date.now() >= notBeforeMs;
}

/** The groups as live zygotes, for the policy's diff(). */
export function liveZygotes(groups: readonly Group[]): LiveZygote[] {
  // A failed group counts as `creating` during its back-off. After the back-off it counts as missing, so that the
  // policy requests it again.
  const failed = (group: Group): boolean =>
    group.processes.length === 0 && group.creating === undefined && Date.now() >= group.notBeforeMs;
  return groups
    .filter((group) => !failed(group))
    .map((group) => ({
      id: group.spec.id,
      parent: group.spec.parent,
      pins: group.spec.pins,
      replicas: group.replicas,
      spares: group.spares,
      held: Date.now() < group.heldUntilMs,
      state: group.draining ? 'draining' : group.processes.length === 0 ? 'creating' : 'ready',
    }));
}

/** Divides the group's spares among its ready processes. */
export function spreadSpares(group: Group): void {
  const serving = group.processes.filter(({ isReady }) => isReady);
  serving.forEach((zygote, index) => {
    const share = Math.floor(group.spares / serving.length) + (index < group.spares % serving.length ? 1 : 0);
    zygote.spares?.setTarget(share);
  });
}

/**
 * Checks that a zygote would import exactly its pins. A spec without a version may stand for another version if the
 * package was installed again after the group was planned.
 *
 * @returns the first spec with another version, if any
 */
export function changedPackage({ path, pins }: GroupSpec, packages: GroupsOptions['packages']): string | undefined {
  return path.find((spec) => !pins.includes(pinOf(spec, packages.installedVersion(spec)).key));
}
