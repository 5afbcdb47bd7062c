/**
 * The zygotes that live, grouped by content: one group for each set of packages, with as many processes as wanted.
 * Creation is shared by all who ask for the same group and is never waited for by a request that can start otherwise.
 */
import { ArgyleError } from '../errors';
import type { Stats } from '../metrics';
import type { SandboxFactory } from '../sandbox/factory';
import type { MemoryPool } from '../sandbox/pool';
import { MEGABYTE } from '../sandbox/slot';
import type { SandboxLimits } from '../sandbox/types';
import type { GroupSpec, ZygoteMaker } from './birth';
import type { ZygoteProcess } from './live';
import { leastLoaded } from './lookup';
import { pinOf } from './match';
import type { ZygotePackages } from './plan-tree';
import { SparePool } from './spares';
import type { LiveZygote, PinKey } from './types';

export interface GroupsOptions {
  pool: MemoryPool;
  packages: Pick<ZygotePackages, 'installedVersion'>;
  factory: SandboxFactory;
  stats: Stats;
  /** Limits that spares are made with. */
  leafLimits: SandboxLimits;
  /** Told of every zygote that could not be made, for the log. */
  onFailure?: ((id: string, error: unknown) => void) | undefined;
}

export interface Group {
  readonly spec: GroupSpec;
  readonly processes: ZygoteProcess[];
  creating: Promise<ZygoteProcess> | undefined;
  replicas: number;
  /** Spares over all replicas. */
  spares: number;
  draining: boolean;
  /** No attempt to create it before this moment; doubles with each failure. */
  notBeforeMs: number;
  failures: number;
}

/** Wait after a failed creation, ms; doubles up to the maximum. */
const BACKOFF_MS = 1000;
const BACKOFF_MAX_MS = 300_000;

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
        const serving = group.processes.filter(({ draining }) => !draining).length;
        // One at a time: replicas are for load that comes later, the CPUs are for the requests that are here.
        if (!this.closed && !group.draining && serving < group.replicas) this.createAhead(group);
        return zygote;
      },
      (error: unknown) => {
        group.creating = undefined;
        if (group.draining && group.processes.length === 0) this.groups.delete(group.spec.id);
        throw error;
      },
    );
    return group.creating;
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
      group.notBeforeMs = Date.now() + Math.min(BACKOFF_MS * 2 ** group.failures++, BACKOFF_MAX_MS);
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
    // POLICY: made again when somebody asks for it, not at once: what died may die again, and eviction was meant.
    this.groups.delete(group.spec.id);
  }

  private spread(group: Group): void {
    const serving = group.processes.filter(({ isReady }) => isReady);
    serving.forEach((zygote, index) => {
      const share = Math.floor(group.spares / serving.length) + (index < group.spares % serving.length ? 1 : 0);
      zygote.spares?.setTarget(share);
    });
  }
}
