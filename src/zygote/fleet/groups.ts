/**
 * The live zygotes: one group for each set of packages, with the wanted number of processes. Concurrent requests for
 * one group share one creation. A request that can start without the zygote does not wait for the creation.
 */
import { ArgyleError } from '../../errors';
import type { GroupSpec, ZygoteMaker } from './zygote-maker';
import { changedPackage, isComing, isForkable, liveZygotes, mayMake, newGroup, spreadSpares, withPins } from './group';
import type { Group, GroupsOptions, PinnedGroup } from './group';
import type { ZygoteProcess } from './zygote-process';
import { leastLoaded } from '../policy/lookup';
import { HELD_MS, NO_HELPER_RETRY_MS, STEADY_MS, waitAfterDeath, waitAfterFailure, wantsHelper } from './retries';
import { SparePool } from './spares';
import { parentAndTurn } from '../starts/zygote-turns';
import type { LiveZygote } from '../policy/types';

export type { Group, GroupsOptions } from './group';

export class ZygoteGroups {
  private readonly groups = new Map<string, Group>();
  private closed = false;

  constructor(
    private readonly options: GroupsOptions,
    private readonly maker: ZygoteMaker,
  ) {}

  list(): readonly Group[] {
    return [...this.groups.values()];
  }
  get(id: string): Group | undefined {
    return this.groups.get(id);
  }

  /** Returns the groups that can be forked from now, for lookupPins(). */
  forkable(): PinnedGroup[] {
    return this.list().filter(isForkable).map(withPins);
  }

  /** Returns the groups whose first process is being made. */
  coming(): PinnedGroup[] {
    return this.list().filter(isComing).map(withPins);
  }

  /** Whether prioritize() would make a process of this group now. */
  mayMake(id: string): boolean {
    const group = this.groups.get(id);
    return !this.closed && (group === undefined || mayMake(group));
  }

  /** Makes the group's first process without a turn, and holds the group for HELD_MS. Never rejects. */
  async prioritize(spec: GroupSpec): Promise<void> {
    const group = this.groups.get(spec.id) ?? newGroup(spec, 1);
    group.urgent = true;
    this.groups.set(spec.id, group);
    this.options.starts?.changed();
    await this.create(group).catch(() => undefined);
    group.heldUntilMs = Date.now() + HELD_MS;
  }

  /** The live zygotes for the policy's diff(). */
  live(): LiveZygote[] {
    return liveZygotes(this.list());
  }

  /** Makes the group's processes in the background. The parent's group must be known. */
  ensure(spec: GroupSpec, replicas: number): void {
    if (this.closed) return;
    let group = this.groups.get(spec.id);
    if (group === undefined) {
      group = newGroup(spec, replicas);
      this.groups.set(spec.id, group);
    }
    this.revive(group);
    this.setReplicas(group, replicas);
  }

  setReplicas(group: Group, replicas: number): void {
    group.replicas = replicas;
    const serving = group.processes.filter((zygote) => !zygote.draining);
    for (const surplus of serving.slice(replicas)) void surplus.drain();
    if (serving.length < replicas) this.createAhead(group);
    spreadSpares(group);
  }

  /** Sets the number of spares of all processes together. */
  setSpares(group: Group, spares: number): void {
    group.spares = spares;
    spreadSpares(group);
  }

  /** Takes the group out of service. The group ends when all its descendants have ended. */
  retire(group: Group): void {
    group.draining = true;
    group.spares = 0;
    for (const zygote of group.processes) void zygote.drain();
    if (group.processes.length === 0 && group.creating === undefined) this.groups.delete(group.spec.id);
  }

  revive(group: Group): void {
    if (!group.draining) return;
    group.draining = false;
    group.processes.forEach((zygote) => {
      zygote.revive();
    });
  }

  /** Takes a process that failed to fork out of service, and makes a replacement. */
  replace(group: Group, zygote: ZygoteProcess): void {
    void zygote.drain();
    if (group.draining) return;
    // The process is usually dying. died() ignores the end of a draining process, so the loss is recorded here.
    if (group.processes.every(({ draining }) => draining)) group.lost = true;
    this.setReplicas(group, group.replicas);
  }

  /** Replaces all serving processes by new ones. Never rejects. */
  async renew(group: Group): Promise<void> {
    const old = group.processes.filter(({ isReady }) => isReady);
    if (this.closed || old.length === 0) return;
    try {
      await this.create(group);
    } catch {
      // createProcess() has reported the failure; the old processes remain in service.
      return;
    }
    await Promise.all(old.map((zygote) => zygote.drain()));
    if (!group.draining) this.setReplicas(group, group.replicas);
  }

  /** Measures every zygote, and takes zygotes that have started threads out of service. */
  async refresh(): Promise<void> {
    for (const group of this.list()) {
      for (const zygote of group.processes.filter(({ isReady }) => isReady)) {
        // The zygote or the helper is ending; died() and gone() handle that.
        const usage = await zygote.slot.usage().catch(() => undefined);
        if (usage === undefined) continue;
        zygote.setUsage(usage.memBytes);
        try {
          this.maker.checkThreads(group.spec, usage.threads);
        } catch {
          zygote.condemn();
          this.retire(group);
          break;
        }
      }
    }
  }

  /** Ends all zygotes, children before parents. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.allSettled(this.list().flatMap((group) => group.creating ?? []));
    const all = this.list().flatMap((group) => group.processes);
    for (const zygote of all.sort((a, b) => b.depth - a.depth)) await zygote.end();
  }

  /** Returns a ready process, or makes one. Adds the group again if gone() removed it. @throws errors of create() */
  private ready(group: Group): Promise<ZygoteProcess> {
    if (!this.groups.has(group.spec.id)) this.groups.set(group.spec.id, group);
    const zygote = leastLoaded(group.processes.filter(({ isReady }) => isReady));
    return zygote === undefined ? this.create(group) : Promise.resolve(zygote);
  }

  private create(group: Group): Promise<ZygoteProcess> {
    group.creating ??= this.createProcess(group).then(
      (zygote) => {
        this.settled(group);
        const serving = group.processes.filter(({ draining }) => !draining).length;
        // Race: the new process may already have died.
        if (serving > 0) group.lost = false;
        // Replicas are made one at a time: current requests need the CPUs, and replicas serve only later requests.
        if (!this.closed && !group.draining && serving < group.replicas) this.createAhead(group);
        return zygote;
      },
      (error: unknown) => {
        this.settled(group);
        if (group.draining && group.processes.length === 0) this.groups.delete(group.spec.id);
        this.mayTryAgain(group, error);
        throw error;
      },
    );
    return group.creating;
  }

  private settled(group: Group): void {
    group.creating = undefined;
    group.startedAtMs = Infinity;
    group.urgent = false;
    this.options.starts?.changed();
  }

  /**
   * Schedules the next attempt to make a lost group. POLICY: no request is needed, and the number of attempts has no
   * limit. The attempt comes after NO_HELPER_RETRY_MS when there was no helper, else after the group's back-off.
   */
  private mayTryAgain(group: Group, error: unknown): void {
    if (!group.lost) return;
    const waitMs = wantsHelper(error) ? NO_HELPER_RETRY_MS : group.notBeforeMs - Date.now() + 1;
    this.setReplicasIn(Math.max(waitMs, 1), group);
  }

  /** Makes a process in the background. createProcess() reports a failure. */
  private createAhead(group: Group): void {
    void this.create(group).catch(() => undefined);
  }

  private async createProcess(group: Group): Promise<ZygoteProcess> {
    const { id, parent: parentId } = group.spec;
    if (this.closed || Date.now() < group.notBeforeMs) {
      throw new ArgyleError('ZYGOTE_FAILED', `zygote "${id}" failed before and is not tried again yet`);
    }
    const startMs = performance.now();
    try {
      const parentGroup = parentId === undefined ? undefined : this.groups.get(parentId);
      if (parentId !== undefined && parentGroup === undefined) {
        throw new ArgyleError('ZYGOTE_FAILED', `zygote "${id}": there is no parent "${parentId}"`);
      }
      const zygote = await this.make(group, parentGroup);
      group.failures = 0;
      group.processes.push(zygote);
      void zygote.slot.exited.then(() => {
        this.died(group, zygote);
      });
      zygote.spares = new SparePool({
        factory: this.options.factory,
        pool: this.options.pool,
        zygote,
        limits: this.options.leafLimits,
      });
      this.options.pool.add(zygote);
      if (group.draining) void zygote.drain();
      else spreadSpares(group);
      this.options.stats.record('ImportCache.Create', performance.now() - startMs);
      return zygote;
    } catch (error) {
      if (!wantsHelper(error)) group.notBeforeMs = Date.now() + waitAfterFailure(group.failures++);
      this.options.stats.count('ImportCache.Create-failed');
      this.options.onFailure?.(id, error);
      throw error;
    }
  }

  private async make(group: Group, parentGroup: Group | undefined): Promise<ZygoteProcess> {
    const { parent, turn } = await parentAndTurn(group, this.options, parentGroup && (() => this.ready(parentGroup)));
    try {
      const other = changedPackage(group.spec, this.options.packages);
      if (other !== undefined) {
        this.retire(group);
        throw new ArgyleError(
          'ZYGOTE_FAILED',
          `zygote "${group.spec.id}": "${other}" is installed in another version by now`,
        );
      }
      group.startedAtMs = performance.now();
      return await this.maker.make(group.spec, parent, (gone) => {
        this.gone(group, gone);
      });
    } finally {
      turn?.leave();
    }
  }

  private gone(group: Group, zygote: ZygoteProcess): void {
    const index = group.processes.indexOf(zygote);
    if (index >= 0) group.processes.splice(index, 1);
    this.options.pool.remove(zygote);
    this.options.starts?.changed();
    if (group.processes.length > 0 || group.creating !== undefined) return;
    if (zygote.wasKilled && !group.draining) return;
    // POLICY: recreate on demand only, because an eviction was deliberate.
    this.groups.delete(group.spec.id);
  }

  /**
   * POLICY: a zygote that died in use is made again at once, because fresh processes for all its functions would occupy
   * all processors. Repeated early deaths cause a growing back-off.
   */
  private died(group: Group, gone: ZygoteProcess): void {
    if (!gone.wasKilled || group.draining || this.closed) return;
    // Race: the dead zygote's slot is freed later, after all its leaves.
    const index = group.processes.indexOf(gone);
    if (index >= 0) group.processes.splice(index, 1);
    group.deaths = gone.slot.isLost || Date.now() - gone.sinceMs >= STEADY_MS ? 0 : group.deaths + 1;
    const waitMs = waitAfterDeath(group.deaths);
    group.notBeforeMs = Date.now() + waitMs;
    group.lost = group.processes.length === 0;
    this.setReplicas(group, group.replicas);
    // Calls that fresh processes serve do not request the zygote, so a timer requests it. Timers may fire 1 ms early.
    if (waitMs > 0) this.setReplicasIn(waitMs + 1, group);
  }

  private setReplicasIn(ms: number, group: Group): void {
    clearTimeout(group.retry);
    group.retry = setTimeout(() => {
      if (this.closed || group.draining || this.groups.get(group.spec.id) !== group) return;
      this.setReplicas(group, group.replicas);
    }, ms).unref();
  }
}
