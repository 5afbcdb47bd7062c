/**
 * A slot: a root directory, a cgroup, a listening socket and a log pipe, made ahead and used by one sandbox. The
 * listening socket exists from the start, so a client can connect and write before any process runs in the slot.
 */
import { unlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { basename } from 'node:path';
import type { HelperClient } from '../../helper/client';
import {
  Flag,
  Pressure as At,
  Role,
  Usage,
  type Completion,
  type RequestFields,
  type VerbName,
} from '../../helper/protocol';
import { ArgyleError } from '../../errors';
import { GuestHttp } from '../guest-http';
import { HostLife, type HostEnd } from '../host-life';
import type { LogTap } from '../log-tap';
import { limitArgs, sameLimits, weightOf } from './limits';
import type { Pressure } from '../memory/thrash';
import type { SandboxExit, SandboxLimits, SandboxUsage } from '../types';

/** The error that closes an unused connection. */
const UNUSED = new Error('the slot was not used');

/** Names of directories below `<worker_dir>/code` that the helper binds for a guest; '' for none. */
export interface GuestMounts {
  /** Bound on /handler. */
  code?: string;
  /** Bound on /packages; a name from PackageViews. */
  view?: string;
}

const namesOf = ({ code = '', view = '' }: GuestMounts): string[] => [code, view];

export interface SlotParts {
  client: HelperClient;
  id: number;
  pool: number;
  limits: SandboxLimits;
  log: LogTap;
  /** Path of the socket below /proc/self/fd, short enough for sun_path. */
  socketPath: string;
  /** Returns the slot id to SlotHome. */
  release: () => void;
}

export class Slot {
  readonly id: number;
  readonly pool: number;
  readonly log: LogTap;
  /** Resolves when the first process ends or the helper ends. */
  readonly exited: Promise<SandboxExit>;
  /** Host pid of the first process; 0 before that process exists. */
  pid = 0;
  private readonly client: HelperClient;
  private readonly life = new HostLife('a slot');
  private current: SandboxLimits;
  /** The last order of new limits. */
  private limited: Promise<unknown> | undefined;
  /** The client that preconnect() made and http() has not returned yet. */
  private ahead: GuestHttp | undefined;

  constructor(private readonly parts: SlotParts) {
    this.client = parts.client;
    this.id = parts.id;
    this.pool = parts.pool;
    this.log = parts.log;
    this.current = parts.limits;
    this.exited = this.life.exited;
    this.client.onExit(this.id, (event) => {
      // Guards against an event for an earlier user of this slot id; the order of the helper's messages should
      // exclude such an event.
      if (event !== undefined && this.pid !== 0 && event.value[2] !== 0 && event.value[2] !== this.pid) return;
      this.client.offExit(this.id);
      const status = event?.value[0];
      this.life.finish({
        oomKills: event?.value[1] ?? 0,
        procsRefused: event?.value[3] ?? 0,
        status: status === Infinity ? undefined : status,
        ...(event === undefined ? { lost: true } : {}),
      });
    });
  }

  /** Set when `exited` resolves. */
  get exit(): SandboxExit | undefined {
    return this.life.exit;
  }

  /** File name of the listening socket in the sockets' directory. */
  get socketName(): string {
    return basename(this.parts.socketPath);
  }

  get limits(): SandboxLimits {
    return this.current;
  }

  /** False once the slot is destroyed, its first process has ended, or its helper has ended. */
  get isUsable(): boolean {
    return this.life.isUsable && !this.client.isGone;
  }

  /** Whether the slot's helper has ended; the slot ends with its helper. */
  get isLost(): boolean {
    return this.client.isGone;
  }

  /** Whether the helper has seen the last process of a destroyed slot end. */
  get isEmptied(): boolean {
    return this.life.phase === 'emptied';
  }

  /** Spawns the process of a fresh leaf ahead. The process joins its cgroups and then waits for spawn(). */
  async prespawn(): Promise<void> {
    await this.started(await this.order('SPAWN', { slot: this.id, role: Role.LEAF, flags: Flag.PARK }));
  }

  /** Starts a fresh guest and returns its host pid. Uses the process of prespawn() if there is one. */
  async spawn(role: number, shown: GuestMounts): Promise<number> {
    if (this.life.phase !== 'empty' && role === Role.LEAF) {
      await this.go(shown);
      return this.pid;
    }
    return this.started(await this.order('SPAWN', { slot: this.id, role, name: namesOf(shown) }));
  }

  /** Starts an installer and returns its host pid. The installer may write to the staging directory `stage`. */
  async install(stage: string): Promise<number> {
    const fields = { slot: this.id, role: Role.INSTALLER, name: ['', stage] };
    return this.started(await this.order('SPAWN', fields));
  }

  /** Makes the zygote in `source` fork into this slot and returns the child's host pid. */
  async forkFrom(source: Slot, role: number, shown: GuestMounts, park = false): Promise<number> {
    if (source.client !== this.client) {
      throw new ArgyleError('ZYGOTE_FAILED', `zygote slot ${source.id} belongs to a helper that has ended`);
    }
    // Another zygote may have the id of a destroyed slot by now.
    if (source.life.isGivenUp) throw new ArgyleError('ZYGOTE_FAILED', `zygote slot ${source.id} was destroyed`);
    const flags = park ? Flag.PARK : 0;
    const fields = { slot: this.id, source: source.id, role, name: namesOf(shown), flags };
    return this.started(await this.order('FORK', fields));
  }

  /** Binds code and packages for a parked guest and starts the guest. */
  async go(shown: GuestMounts): Promise<void> {
    await this.order('GO', { slot: this.id, name: namesOf(shown) });
    await this.limited;
  }

  async pause(): Promise<void> {
    await this.order('PAUSE', { slot: this.id });
  }

  async resume(): Promise<void> {
    await this.order('RESUME', { slot: this.id });
  }

  /**
   * Orders new limits when they differ from the current limits. The helper executes orders one after the other, so the
   * order that starts a guest need not wait for this one. The start rejects when the limits could not be set.
   */
  orderLimits(limits: SandboxLimits): void {
    if (sameLimits(this.current, limits)) return;
    this.current = limits;
    this.limited = this.order('LIMITS', { slot: this.id, arg: limitArgs(limits) });
    this.limited.catch(() => undefined);
  }

  /** Sets cpu.weight. An error of a slot that ends in parallel is ignored. */
  weigh(cpuWeight: number): void {
    if (weightOf(this.current) !== cpuWeight && this.isUsable) this.orderLimits({ ...this.current, cpuWeight });
  }

  async usage(): Promise<SandboxUsage> {
    const { value } = await this.order('USAGE', { slot: this.id });
    const at = (index: number): number => value[index] ?? 0;
    return {
      memBytes: at(Usage.MEM_BYTES),
      pids: at(Usage.PIDS),
      oomKills: at(Usage.OOM_KILLS),
      procsRefused: at(Usage.PIDS_REFUSED),
      cpuUsec: at(Usage.CPU_USEC),
      frozen: at(Usage.FROZEN) !== 0,
      threads: at(Usage.THREADS),
      pid: at(Usage.PID),
    };
  }

  /** Memory counters for thrash-watch.ts. */
  async pressure(): Promise<Pressure> {
    const { value } = await this.order('PRESSURE', { slot: this.id });
    const at = (index: number): number => value[index] ?? 0;
    return {
      memBytes: at(At.MEM_BYTES),
      refaults: at(At.REFAULTS),
      majorFaults: at(At.MAJOR_FAULTS),
      faults: at(At.FAULTS),
      userUsec: at(At.USER_USEC),
    };
  }

  /** Opens the connection and makes the client ahead, for http(). */
  preconnect(): void {
    this.ahead ??= this.newHttp();
  }

  /** Returns the HTTP client of the leaf in this slot; usable before any process runs. */
  http(): GuestHttp {
    const http = this.ahead ?? this.newHttp();
    this.ahead = undefined;
    return http;
  }

  /** Opens a connection to a guest that speaks no HTTP; usable before any process runs. */
  connect(): Socket {
    // A connection of preconnect() is first in the guest's backlog; the guest skips closed connections.
    this.dropHttp();
    return connect({ path: this.parts.socketPath });
  }

  describe(id: string): { title: string; root: string; cgroups: string } {
    return { title: `SOCK ${id}`, root: `slot ${this.id} (private to the helper)`, cgroups: `slot ${this.id}` };
  }

  /** Kills all processes and frees everything. Idempotent, never rejects: the end of the helper frees its slots. */
  destroy(): Promise<void> {
    return this.life.free(() => this.free());
  }

  /** Frees the worker's part of a slot that the helper did not make. */
  discard(): Promise<void> {
    return this.life.free(() => this.free(false));
  }

  private async free(made = true): Promise<HostEnd> {
    const end = made && !this.client.isGone ? await this.orderDestroy() : 'dropped';
    this.client.offExit(this.id);
    this.dropHttp();
    this.log.end();
    try {
      unlinkSync(this.parts.socketPath);
    } catch {
      // The socket or its directory has already been removed.
    }
    // When the helper could not free the slot, the id stays taken. Otherwise the next AG_SLOT with this id would fail.
    if (end !== 'stuck') this.parts.release();
    return end;
  }

  private orderDestroy(): Promise<HostEnd> {
    return this.client.request('DESTROY', { slot: this.id }).then(
      () => 'emptied',
      (error: unknown) => (error instanceof ArgyleError && error.code === 'HELPER_GONE' ? 'dropped' : 'stuck'),
    );
  }

  /** Sends an order about this slot, unless destroy() was called: another slot may have the id by now. */
  private order(verb: VerbName, fields: RequestFields): Promise<Completion> {
    if (!this.life.isGivenUp) return this.client.request(verb, fields);
    return Promise.reject(new ArgyleError('SANDBOX_STATE', `slot ${this.id} was destroyed`));
  }

  private newHttp(): GuestHttp {
    return new GuestHttp(() => connect({ path: this.parts.socketPath }));
  }

  private dropHttp(): void {
    this.ahead?.destroy(UNUSED);
    this.ahead = undefined;
  }

  private async started(completion: Completion): Promise<number> {
    this.pid = completion.value[0] ?? 0;
    // The process or the slot may have ended before the completion arrived.
    this.life.tryMove('running');
    await this.limited;
    return this.pid;
  }
}
