/**
 * The zygotes that live, grouped by content: one group for each set of packages, with as many processes as wanted.
 * Creation is shared by all who ask for the same group and is never waited for by a request that can start otherwise.
 */
import { ArgyleError } from '../errors';
import { MEGABYTE } from '../sandbox/slot';
import type { GroupSpec, ZygoteMaker } from './birth';
import type { Group, GroupsOptions } from './group';
import type { ZygoteProcess } from './live';
import { leastLoaded } from './lookup';
import { pinOf } from './match';
import { NO_HELPER_RETRY_MS, STEADY_MS, waitAfterDeath, waitAfterFailure, wantsHelper } from './retries';
import { SparePool } from './spares';
import type { LiveZygote, PinKey } from './types';

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

  /** Groups that can be forked from now, as lookupPins() wants them. */
  *forkable(): Iterable<Group & { pins: readonly PinKey[] }> {
    for (const group of this.groups.values()) {
      if (!group.draining && group.processes.some((zygote) => zygote.isReady)) {
        yield Object.assign(group, { pins: group.spec.pins });
      }
    }
  }

  /** Groups that could be forked from until a moment ago, and can be again soon. */
  *remaking(): Iterable<Group & { pins: readonly PinKey[] }> {
    for (const group of this.groups.values()) {
      const { lost, draining, creating } = group;
      if (lost && !draining && creating !== undefined) yield Object.assign(group, { pins: group.spec.pins });
    }
  }

  /** As the policy's diff wants them. */
  live(): LiveZygote[] {
    // One that failed counts as on its way until it may be tried again, and then as missing, so that it is asked for.
    const failed = (group: Group): boolean =>
      group.processes.length === 0 && group.creating === undefined && Date.now() >= group.notBeforeMs;
    return this.list()
      .filter((group) => !failed(group))
      .map((group) => ({
        id: group.spec.id,
        parent: group.spec.parent,
        pins: group.spec.pins,
        replicas: group.replicas,
        spares: group.spares,
        state: group.draining ? 'draining' : group.processes.length === 0 ? 'creating' : 'ready',
      }));
  }

  /** Sees to it, in the background, that the group has its processes. The parent's group must be known. */
  ensure(spec: GroupSpec, replicas: number): void {
    if (this.closed) return;
    let group = this.groups.get(spec.id);
    if (group === undefined) {
      group = {
        spec,
        processes: [],
        creating: undefined,
        replicas,
        spares: 0,
        draining: false,
        lost: false,
        deaths: 0,
        notBeforeMs: 0,
        failures: 0,
      };
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
    this.spread(group);
  }

  /** Spares over all processes of the group. */
  setSpares(group: Group, spares: number): void {
    group.spares = spares;
    this.spread(group);
  }

  /** Takes the group out of service; it ends when nothing forked from it is left. */
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

  /** Takes one process that failed to fork out of service and has it replaced. */
  replace(group: Group, zygote: ZygoteProcess): void {
    void zygote.drain();
    if (!group.draining) this.setReplicas(group, group.replicas);
  }

  /** Makes a new process for each that serves now, and takes the old ones out of service. Never rejects. */
  async renew(group: Group): Promise<void> {
    const old = group.processes.filter(({ isReady }) => isReady);
    if (this.closed || old.length === 0) return;
    try {
      await this.create(group);
    } catch {
      // bear() has told of it; the old ones serve on.
      return;
    }
    await Promise.all(old.map((zygote) => zygote.drain()));
    if (!group.draining) this.setReplicas(group, group.replicas);
  }

  /** Reads what every zygote uses now, and takes out of service which has started threads since it was made. */
  async refresh(): Promise<void> {
    for (const group of this.list()) {
      for (const zygote of group.processes.filter(({ isReady }) => isReady)) {
        try {
          const usage = await zygote.slot.usage();
          zygote.setUsage(Math.max(1, Math.ceil(usage.memBytes / MEGABYTE)));
          this.maker.checkThreads(group.spec, usage.threads);
        } catch {
          // One that cannot be asked is ending anyway.
          zygote.unfit = true;
          this.retire(group);
          break;
        }
      }
    }
  }

  /** Ends everything, children before parents. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.allSettled(this.list().flatMap((group) => group.creating ?? []));
    const all = this.list().flatMap((group) => group.processes);
    const depth = (zygote: ZygoteProcess): number => (zygote.parent === undefined ? 0 : 1 + depth(zygote.parent));
    for (const zygote of all.sort((a, b) => depth(b) - depth(a))) await zygote.end();
  }

  /** A process of the group, made if there is none. @throws ArgyleError ZYGOTE_FAILED and what sandboxes throw. */
  private ready(group: Group): Promise<ZygoteProcess> {
    const zygote = leastLoaded(group.processes.filter(({ isReady }) => isReady));
    return zygote === undefined ? this.create(group) : Promise.resolve(zygote);
  }

  private create(group: Group): Promise<ZygoteProcess> {
    group.creating ??= this.bear(group).then(
      (zygote) => {
        group.creating = undefined;
        group.lost = false;
        const serving = group.processes.filter(({ draining }) => !draining).length;
        // One at a time: replicas are for load that comes later, the CPUs are for the requests that are here.
        if (!this.closed && !group.draining && serving < group.replicas) this.createAhead(group);
        return zygote;
      },
      (error: unknown) => {
        group.creating = undefined;
        if (group.draining && group.processes.length === 0) this.groups.delete(group.spec.id);
        this.mayTryAgain(group, error);
        throw error;
      },
    );
    return group.creating;
  }

  /** A zygote that was lost with its helper comes back with the next one, however long that takes. */
  private mayTryAgain(group: Group, error: unknown): void {
    if (!wantsHelper(error) || !group.lost) {
      group.lost = false;
      return;
    }
    setTimeout(() => {
      if (!this.closed && !group.draining) this.setReplicas(group, group.replicas);
    }, NO_HELPER_RETRY_MS).unref();
  }

  /** For nobody in particular; bear() has told of a failure. */
  private createAhead(group: Group): void {
    void this.create(group).catch(() => undefined);
  }

  private async bear(group: Group): Promise<ZygoteProcess> {
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
      const parent = parentGroup === undefined ? undefined : await this.ready(parentGroup);
      this.checkVersions(group);
      const zygote = await this.maker.make(group.spec, parent, (gone) => {
        this.gone(group, gone);
      });
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
      else this.spread(group);
      this.options.stats.record('ImportCache.Create', performance.now() - startMs);
      return zygote;
    } catch (error) {
      if (!wantsHelper(error)) group.notBeforeMs = Date.now() + waitAfterFailure(group.failures++);
      this.options.stats.count('ImportCache.Create-failed');
      this.options.onFailure?.(id, error);
      throw error;
    }
  }

  /**
   * What a zygote would import must be what its pins say. A spec that pins no version may have been installed anew since
   * the group was planned, and then means something else.
   */
  private checkVersions(group: Group): void {
    const { id, path, pins } = group.spec;
    const other = path.find((spec) => !pins.includes(pinOf(spec, this.options.packages.installedVersion(spec)).key));
    if (other === undefined) return;
    this.retire(group);
    throw new ArgyleError('ZYGOTE_FAILED', `zygote "${id}": "${other}" is installed in another version by now`);
  }

  private gone(group: Group, zygote: ZygoteProcess): void {
    const index = group.processes.indexOf(zygote);
    if (index >= 0) group.processes.splice(index, 1);
    this.options.pool.remove(zygote);
    if (group.processes.length > 0 || group.creating !== undefined) return;
    if (zygote.wasKilled && !group.draining) return;
    // POLICY: made again when somebody asks for it, not at once: eviction was meant.
    this.groups.delete(group.spec.id);
  }

  /**
   * POLICY: what was in use and died is made again at once, because the calls of its functions wait for it: fresh
   * processes for all of them would take the processors from each other and from everybody else. One that dies early
   * more than once may die again, and waits for longer and longer.
   */
  private died(group: Group, gone: ZygoteProcess): void {
    if (!gone.wasKilled || group.draining || this.closed) return;
    // What is left of it is freed meanwhile, which may take as long as all its leaves take to die.
    const index = group.processes.indexOf(gone);
    if (index >= 0) group.processes.splice(index, 1);
    group.deaths = gone.slot.isLost || Date.now() - gone.sinceMs >= STEADY_MS ? 0 : group.deaths + 1;
    group.notBeforeMs = Date.now() + waitAfterDeath(group.deaths);
    group.lost = group.processes.length === 0;
    this.setReplicas(group, group.replicas);
  }

  private spread(group: Group): void {
    const serving = group.processes.filter(({ isReady }) => isReady);
    serving.forEach((zygote, index) => {
      const share = Math.floor(group.spares / serving.length) + (index < group.spares % serving.length ? 1 : 0);
      zygote.spares?.setTarget(share);
    });
  }
}
