/** A plain leaf: a slot or container with a guest in it, and HTTP to it. GuardedSandbox adds what callers need. */
import type { Dispatcher } from 'undici';
import { ArgyleError } from '../errors';
import type { BootInfo } from './answer/boot-report';
import type { AnswerHandler } from './answer/guard';
import { LAST_WORDS_MS, bootFrame } from './boot';
import { describeDeath } from './death';
import type { GuestHttp } from './guest-http';
import { MEGABYTE } from './slot';
import type { Pressure } from './thrash';
import type { LeafSpec, Sandbox, SandboxExit, SandboxLimits, SandboxUsage, StartKind } from './types';

/** What a leaf lives in: a slot of the helper, or a container of an engine. */
export interface LeafHost {
  readonly log: { source: string };
  /** Host pid of the first process; 0 before it is known. */
  readonly pid: number;
  readonly exited: Promise<SandboxExit>;
  /** HTTP to the guest, whose boot frame is still to be written. May be called before the guest runs, and once. */
  http(): GuestHttp;
  pause(): Promise<void>;
  resume(): Promise<void>;
  usage(): Promise<SandboxUsage>;
  pressure?(): Promise<Pressure>;
  /** Idempotent, never rejects. */
  destroy(): Promise<void>;
  /** What /debug says of it: the first line for a sandbox `id`, and where its root and cgroups are. */
  describe(id: string): { title: string; root: string; cgroups: string };
}

export interface LeafParts {
  id: string;
  slot: LeafHost;
  start: StartKind;
  spec: LeafSpec;
  parentPid: number | undefined;
  /** Host path of the code directory, for people. */
  codeDir: string;
  onBoot: ((info: BootInfo) => void) | undefined;
  /** Others than the worker are the clients of its socket. */
  handOver?: boolean;
}

/** For connections that nobody waits on: an error of each one's own would have its stack written for nothing, 0.1 ms. */
const UNUSED = new ArgyleError('SANDBOX_DEAD', 'the sandbox is gone');

export class LeafSandbox implements Sandbox {
  readonly id: string;
  readonly start: StartKind;
  readonly parentPid: number | undefined;
  readonly exited: Promise<SandboxExit>;
  readonly limits: SandboxLimits;
  private readonly http: GuestHttp;
  private why: string | undefined;

  /** Writes the boot frame at once; the caller has the guest started meanwhile. */
  constructor(private readonly parts: LeafParts) {
    const { slot, spec } = parts;
    this.id = parts.id;
    this.start = parts.start;
    this.parentPid = parts.parentPid;
    this.limits = spec.limits;
    slot.log.source = `${spec.boot.name}#${parts.id}`;
    this.http = slot.http();
    this.exited = new Promise((resolve) => {
      this.http.boot(bootFrame(spec.boot), {
        onBoot: parts.onBoot,
        handOver: parts.handOver ?? false,
        // POLICY: it is killed at once, since nobody can tell what it would send next; to its owner it ended by itself.
        onFault: (error) => {
          if (this.why !== undefined) return;
          this.why = error.message;
          this.http.destroy(error);
          void slot.destroy();
          resolve({ oomKills: 0, status: undefined });
        },
      });
      void slot.exited.then((exit) => {
        if (this.why !== undefined) return;
        this.why = describeDeath(exit, this.limits);
        // What the guest still wrote before it ended is in the socket and is delivered first.
        setTimeout(() => {
          this.http.destroy(this.death());
        }, LAST_WORDS_MS);
        resolve(exit);
      });
    });
  }

  get pid(): number {
    return this.parts.slot.pid;
  }

  get dead(): string | undefined {
    return this.why;
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: AnswerHandler): void {
    this.http.dispatch(options, handler);
  }

  pause(): Promise<void> {
    return this.parts.slot.pause();
  }

  resume(): Promise<void> {
    return this.parts.slot.resume();
  }

  usage(): Promise<SandboxUsage> {
    return this.parts.slot.usage();
  }

  async pressure(): Promise<Pressure | undefined> {
    return this.parts.slot.pressure?.();
  }

  async destroy(reason: string): Promise<void> {
    this.why ??= reason;
    if (!this.http.isIdle) this.http.destroy(this.death());
    // A guest that sees its connection end goes on to accept the next one: an idle one is ended first.
    await this.parts.slot.destroy();
    this.http.destroy(this.http.isIdle ? UNUSED : this.death());
  }

  async debugString(): Promise<string> {
    const { slot } = this.parts;
    let usage: SandboxUsage;
    try {
      usage = await slot.usage();
    } catch {
      return `SANDBOX ${this.id} is DEAD: ${this.why ?? 'unknown'}\n`;
    }
    const { title, root, cgroups } = slot.describe(this.id);
    const limit = this.limits.memMb === 0 ? 'unlimited' : `${this.limits.memMb}`;
    return [
      title,
      `ROOT DIR: ${root}`,
      `HOST DIR: ${this.parts.codeDir}`,
      `CGROUP PIDS: ${usage.pids} (first ${usage.pid})`,
      `CGROUPS: ${cgroups}`,
      `FREEZE STATE: ${usage.frozen ? 'FROZEN' : 'THAWED'}`,
      `MEMORY USED: ${Math.round(usage.memBytes / MEGABYTE)} of ${limit} MB`,
      `OOM KILLS: ${usage.oomKills}`,
      ...((usage.procsRefused ?? 0) === 0
        ? []
        : [`PROCESSES REFUSED: ${usage.procsRefused ?? 0} (limits.procs is ${this.limits.procs})`]),
      ...(this.why === undefined ? [] : [`ENDED: ${this.why}`]),
      '',
    ].join('\n');
  }

  private death(): ArgyleError {
    return new ArgyleError('SANDBOX_DEAD', `sandbox ${this.id} is dead: ${this.why ?? 'unknown'}`);
  }
}
