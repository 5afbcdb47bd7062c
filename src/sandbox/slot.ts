/**
 * A slot: a root directory, a cgroup, a listening socket and a log pipe, made ahead and used by one sandbox.
 * Its listening socket exists from the start, so a client can connect, and write, before any process runs in it.
 */
import { unlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { basename } from 'node:path';
import type { HelperClient } from '../helper/client';
import { Flag, Pressure as At, Role, Usage, type Completion } from '../helper/protocol';
import { ArgyleError } from '../errors';
import { GuestHttp } from './guest-http';
import type { LogTap } from './log-tap';
import type { Pressure } from './thrash';
import type { SandboxExit, SandboxLimits, SandboxUsage } from './types';

export const MEGABYTE = 1024 * 1024;

/** The protocol's limits array. */
export function limitArgs(limits: SandboxLimits): number[] {
  const bytes = (mb: number): number => Math.round(mb * MEGABYTE);
  return [bytes(limits.memMb), limits.procs, limits.cpuPercent, limits.swapBytes, bytes(limits.scratchMb)];
}

export function sameLimits(a: SandboxLimits, b: SandboxLimits): boolean {
  return (
    a.memMb === b.memMb &&
    a.procs === b.procs &&
    a.cpuPercent === b.cpuPercent &&
    a.swapBytes === b.swapBytes &&
    a.scratchMb === b.scratchMb
  );
}

/** Ends what was made ahead and nobody wanted. */
const UNUSED = new Error('the slot was not used');

export interface SlotParts {
  client: HelperClient;
  id: number;
  pool: number;
  limits: SandboxLimits;
  log: LogTap;
  /** Socket path short enough for sun_path, below /proc/self/fd. */
  socketPath: string;
  /** Gives the id back. */
  release: () => void;
}

export class Slot {
  readonly id: number;
  readonly pool: number;
  readonly log: LogTap;
  /** Resolves when the first process ends or the helper is gone. */
  readonly exited: Promise<SandboxExit>;
  /** Set with `exited`. */
  exit: SandboxExit | undefined;
  /** Host pid of the first process; 0 before there is one. */
  pid = 0;
  private readonly client: HelperClient;
  private current: SandboxLimits;
  private destroying: Promise<void> | undefined;
  private limited: Promise<unknown> | undefined;
  /** Made ahead and not yet in use. */
  private ahead: GuestHttp | undefined;

  constructor(private readonly parts: SlotParts) {
    this.client = parts.client;
    this.id = parts.id;
    this.pool = parts.pool;
    this.log = parts.log;
    this.current = parts.limits;
    this.exited = new Promise((resolve) => {
      this.client.onExit(this.id, (event) => {
        // An event that is about an earlier user of this slot id; the helper's order should not let it happen.
        if (event !== undefined && this.pid !== 0 && event.value[2] !== 0 && event.value[2] !== this.pid) return;
        this.client.offExit(this.id);
        const status = event?.value[0];
        this.exit = {
          oomKills: event?.value[1] ?? 0,
          procsRefused: event?.value[3] ?? 0,
          status: status === Infinity ? undefined : status,
          ...(event === undefined ? { lost: true } : {}),
        };
        resolve(this.exit);
      });
    });
  }

  /** File name of the listening socket in the sockets' directory. */
  get socketName(): string {
    return basename(this.parts.socketPath);
  }

  get limits(): SandboxLimits {
    return this.current;
  }

  /** Set once destroy() was called. */
  get isDestroyed(): boolean {
    return this.destroying !== undefined;
  }

  /** False once its helper has ended: the slot is then worth nothing. */
  get isUsable(): boolean {
    return this.destroying === undefined && this.exit === undefined && !this.client.isGone;
  }

  /** Whether its helper has ended, and the slot with it. */
  get isLost(): boolean {
    return this.client.isGone;
  }

  /** Has a fresh leaf's process born ahead: it joins its cgroups, and waits for spawn() before it starts anything. */
  async bear(): Promise<void> {
    const fields = { slot: this.id, role: Role.LEAF, flags: Flag.PARK };
    await this.started(await this.client.request('SPAWN', fields));
  }

  /** Starts a fresh guest, the one that was born ahead if there is one, and returns its host pid. */
  async spawn(role: number, codeName: string, options: { stagingName?: string } = {}): Promise<number> {
    if (this.pid !== 0 && role === Role.LEAF) {
      await this.go(codeName);
      return this.pid;
    }
    const name = [codeName, options.stagingName ?? ''];
    return this.started(await this.client.request('SPAWN', { slot: this.id, role, name }));
  }

  /** Has the zygote in `source` fork into this slot and returns the child's host pid. */
  async forkFrom(source: Slot, role: number, codeName: string, park = false): Promise<number> {
    if (source.client !== this.client) {
      throw new ArgyleError('ZYGOTE_FAILED', `zygote slot ${source.id} belongs to a helper that has ended`);
    }
    const flags = park ? Flag.PARK : 0;
    const fields = { slot: this.id, source: source.id, role, name: [codeName], flags };
    return this.started(await this.client.request('FORK', fields));
  }

  /** Binds the code on a parked guest's /handler and lets it run. */
  async go(codeName: string): Promise<void> {
    await this.client.request('GO', { slot: this.id, name: [codeName] });
    await this.limited;
  }

  async pause(): Promise<void> {
    await this.client.request('PAUSE', { slot: this.id });
  }

  async resume(): Promise<void> {
    await this.client.request('RESUME', { slot: this.id });
  }

  /**
   * Orders the limits when they differ from what the slot has. The helper carries orders out one after the other, so
   * the order that starts a guest need not wait for the answer; its own promise rejects when the limits could not be set.
   */
  orderLimits(limits: SandboxLimits): void {
    if (sameLimits(this.current, limits)) return;
    this.current = limits;
    this.limited = this.client.request('LIMITS', { slot: this.id, arg: limitArgs(limits) });
    this.limited.catch(() => undefined);
  }

  async usage(): Promise<SandboxUsage> {
    const { value } = await this.client.request('USAGE', { slot: this.id });
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

  /** For thrash-watch.ts. */
  async pressure(): Promise<Pressure> {
    const { value } = await this.client.request('PRESSURE', { slot: this.id });
    const at = (index: number): number => value[index] ?? 0;
    return {
      memBytes: at(At.MEM_BYTES),
      refaults: at(At.REFAULTS),
      majorFaults: at(At.MAJOR_FAULTS),
      faults: at(At.FAULTS),
      userUsec: at(At.USER_USEC),
    };
  }

  /** Has the connection opened and its client made ahead, for http(). */
  prepareHttp(): void {
    this.ahead ??= this.newHttp();
  }

  /** HTTP to the leaf that will run here; usable before any process runs. */
  http(): GuestHttp {
    const http = this.ahead ?? this.newHttp();
    this.ahead = undefined;
    return http;
  }

  /** Opens a connection to a guest that speaks no HTTP; usable before any process runs. */
  connect(): Socket {
    // What was made ahead is first in the guest's line, and is passed over once it is closed.
    this.dropHttp();
    return connect({ path: this.parts.socketPath });
  }

  describe(id: string): { title: string; root: string; cgroups: string } {
    return { title: `SOCK ${id}`, root: `slot ${this.id} (private to the helper)`, cgroups: `slot ${this.id}` };
  }

  /** Kills and frees everything. Idempotent, never rejects: with the helper gone there is nothing left to free. */
  destroy(): Promise<void> {
    this.destroying ??= this.free();
    return this.destroying;
  }

  /** Frees the worker's side of a slot that the helper never made. */
  discard(): Promise<void> {
    this.destroying ??= this.free(false);
    return this.destroying;
  }

  private async free(made = true): Promise<void> {
    let freed = true;
    if (made && !this.client.isGone) {
      freed = await this.client.request('DESTROY', { slot: this.id }).then(
        () => true,
        (error: unknown) => error instanceof ArgyleError && error.code === 'HELPER_GONE',
      );
    }
    this.client.offExit(this.id);
    this.dropHttp();
    this.log.end();
    try {
      unlinkSync(this.parts.socketPath);
    } catch {
      // Gone with its directory, or wiped by hand.
    }
    // A slot that the helper could not free keeps its id taken, or the next AG_SLOT with it would fail.
    if (freed) this.parts.release();
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
    await this.limited;
    return this.pid;
  }
}
