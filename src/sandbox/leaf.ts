/**
 * A plain leaf: a slot or container with a guest, and an HTTP client for that guest. It reports the guest's end to its
 * Life; GuardedSandbox makes the other moves.
 */
import type { Dispatcher } from 'undici';
import { ArgyleError } from '../errors';
import type { BootInfo } from './answer/boot-report';
import type { AnswerHandler } from './answer/guard';
import { FINAL_OUTPUT_MS, bootFrame } from './boot';
import { describeDeath } from './death';
import type { GuestHttp } from './guest-http';
import { Life } from './life';
import type { LogOrigin } from './log-tap';
import { MEGABYTE } from './slot/limits';
import type { Pressure } from './memory/thrash';
import type { LeafSpec, PlainSandbox, SandboxExit, SandboxLimits, SandboxUsage, StartKind } from './types';

/** The host of a leaf: a slot of the helper, or a container of an engine. */
export interface LeafHost {
  readonly log: { origin: Pick<LogOrigin, 'source' | 'lambda' | 'sandbox'>; running(requestId: string): void };
  /** Host pid of the first process; 0 before it is known. */
  readonly pid: number;
  readonly exited: Promise<SandboxExit>;
  /**
   * Returns the HTTP client of the guest; the boot frame is not written yet. Call this once; the call is allowed before
   * the guest runs.
   * @param concurrency number of requests that the guest serves concurrently
   */
  http(concurrency: number): GuestHttp;
  pause(): Promise<void>;
  resume(): Promise<void>;
  usage(): Promise<SandboxUsage>;
  pressure?(): Promise<Pressure>;
  weigh?(weight: number): void;
  /** Idempotent, never rejects. */
  destroy(): Promise<void>;
  /** Texts for /debug: the title line for a sandbox `id`, and the places of the root and the cgroups. */
  describe(id: string): { title: string; root: string; cgroups: string };
}

export interface LeafParts {
  id: string;
  slot: LeafHost;
  start: StartKind;
  spec: LeafSpec;
  parentPid: number | undefined;
  /** Host path of the code directory, for display. */
  codeDir: string;
  onBoot: ((info: BootInfo) => void) | undefined;
  /** True when processes other than the worker are the clients of the guest's socket. */
  handOver?: boolean;
}

/** Formats the lines of /debug about one sandbox. @param more further lines */
export function debugText(
  { title, root, hostDir, cgroups }: { title: string; root: string; hostDir: string; cgroups: string },
  usage: SandboxUsage,
  limits: SandboxLimits,
  more: readonly string[] = [],
): string {
  const limit = limits.memMb === 0 ? 'unlimited' : `${limits.memMb}`;
  const refused = usage.procsRefused ?? 0;
  return [
    title,
    `ROOT DIR: ${root}`,
    `HOST DIR: ${hostDir}`,
    `CGROUP PIDS: ${usage.pids} (first ${usage.pid})`,
    `CGROUPS: ${cgroups}`,
    `FREEZE STATE: ${usage.frozen ? 'FROZEN' : 'THAWED'}`,
    `MEMORY USED: ${Math.round(usage.memBytes / MEGABYTE)} of ${limit} MB`,
    `OOM KILLS: ${usage.oomKills}`,
    ...(refused === 0 ? [] : [`PROCESSES REFUSED: ${refused} (limits.procs is ${limits.procs})`]),
    ...more,
    '',
  ].join('\n');
}

/** Shared error for idle connections. Making an error with a stack for each connection costs 0.1 ms. */
const UNUSED = new ArgyleError('SANDBOX_DEAD', 'the sandbox is gone');

export class LeafSandbox implements PlainSandbox {
  readonly id: string;
  readonly start: StartKind;
  readonly parentPid: number | undefined;
  readonly life = new Life();
  readonly limits: SandboxLimits;
  importMs: number | undefined;
  private readonly http: GuestHttp;

  /** Writes the boot frame at once. The caller starts the guest in parallel. */
  constructor(private readonly parts: LeafParts) {
    const { slot, spec } = parts;
    this.id = parts.id;
    this.start = parts.start;
    this.parentPid = parts.parentPid;
    this.limits = spec.limits;
    const { name } = spec.boot;
    Object.assign(slot.log.origin, { source: `${name}#${parts.id}`, lambda: name, sandbox: parts.id });
    const { concurrency = 1 } = spec.boot;
    this.http = slot.http(concurrency);
    this.http.boot(bootFrame(spec.boot), {
      onBoot: (info) => {
        this.importMs = info.importMs;
        parts.onBoot?.(info);
      },
      handOver: parts.handOver ?? false,
      concurrency,
      // POLICY: a guest that breaks the protocol is killed at once, because its further output is unpredictable. The
      // owner sees a sandbox that ended by itself.
      onFault: (error) => {
        if (!this.life.finish('itself', error.message)) return;
        this.http.destroy(error);
        void slot.destroy();
      },
    });
    void slot.exited.then((exit) => {
      if (!this.life.isAlive) return;
      this.life.finish(exit.lost === true ? 'helper' : 'itself', describeDeath(exit, this.limits), exit);
      // The socket may still hold the guest's last output. The delay delivers this output first.
      setTimeout(() => {
        this.http.destroy(this.death());
      }, FINAL_OUTPUT_MS);
    });
  }

  get pid(): number {
    return this.parts.slot.pid;
  }

  running(requestId: string): void {
    this.parts.slot.log.running(requestId);
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

  weigh(weight: number): void {
    this.parts.slot.weigh?.(weight);
  }

  async pressure(): Promise<Pressure | undefined> {
    return this.parts.slot.pressure?.();
  }

  async destroy(reason: string): Promise<void> {
    this.life.finish('owner', reason);
    if (!this.http.isIdle) this.http.destroy(this.death());
    // Order: an idle guest whose connection ends accepts the next connection, so the guest is killed first.
    await this.parts.slot.destroy();
    this.http.destroy(this.http.isIdle ? UNUSED : this.death());
  }

  async debugString(): Promise<string> {
    const { slot } = this.parts;
    let usage: SandboxUsage;
    try {
      usage = await slot.usage();
    } catch {
      return `SANDBOX ${this.id} is DEAD: ${this.life.end?.why ?? 'unknown'}\n`;
    }
    const { end } = this.life;
    const ended = end === undefined ? [] : [`ENDED: ${end.why}`];
    return debugText({ ...slot.describe(this.id), hostDir: this.parts.codeDir }, usage, this.limits, ended);
  }

  private death(): ArgyleError {
    return new ArgyleError('SANDBOX_DEAD', `sandbox ${this.id} is dead: ${this.life.end?.why ?? 'unknown'}`);
  }
}
