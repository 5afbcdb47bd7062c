/** A container with a guest in it, made for one sandbox: what a slot is where the helper makes sandboxes. */
import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough, pipeline } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerInspectInfo, ContainerStats } from 'dockerode';
import { ArgyleError } from '../../errors';
import { describeDeath } from '../death';
import type { LeafHost } from '../leaf';
import { LogTap, type LogSink } from '../log-tap';
import type { SandboxExit, SandboxUsage } from '../types';
import type { Engine } from './engine';
import { Unframe } from './frames';
import { GuestHttp } from '../guest-http';
import { GuestLine } from './line';
import { containerOptions, type ContainerRequest, type ContainerSettings } from './options';

/** Shells and engines report a death by signal N as exit code 128 + N. */
const SIGNAL_BASE = 128;
const NS_PER_US = 1000;
/** Between a guest's end and the engine's word of it hardly more than this passes, ms. */
const NEWS_MS = 500;
const ID_LENGTH = 12;

export interface CellParts {
  engine: Engine;
  settings: ContainerSettings;
  sockets: SocketDir;
  log: LogSink | undefined;
}

/** `<worker_dir>/scratch`, in which names may be used however long its path is: a socket's address is short. */
export class SocketDir {
  private readonly fd: number;
  private serial = 0;

  constructor(private readonly dir: string) {
    this.fd = openSync(dir, 'r');
  }

  /** A name that was never used before. */
  name(): string {
    return `docker-${++this.serial}`;
  }

  /** For bind() and connect() of this process. */
  address(name: string): string {
    return `/proc/self/fd/${this.fd}/${name}`;
  }

  /** For everybody else. */
  path(name: string): string {
    return join(this.dir, name);
  }

  close(): void {
    closeSync(this.fd);
  }
}

export class Cell implements LeafHost {
  readonly log: LogTap;
  readonly exited: Promise<SandboxExit>;
  /** Set with `exited`. */
  exit: SandboxExit | undefined;
  pid = 0;
  private id = '';
  private ended: (exit: SandboxExit) => void = () => undefined;
  private destroying: Promise<void> | undefined;
  private starting: Promise<void> | undefined;
  private readonly printed = new PassThrough();

  private constructor(
    private readonly parts: CellParts,
    private readonly name: string,
    private readonly line: GuestLine,
  ) {
    this.log = new LogTap(this.printed, name, parts.log);
    this.exited = new Promise((resolve) => (this.ended = resolve));
  }

  /** Makes the worker's side of a container: the socket that its guest will dial. @throws ArgyleError SANDBOX_CREATE */
  static async make(parts: CellParts): Promise<Cell> {
    const name = parts.sockets.name();
    return new Cell(parts, name, await GuestLine.listen(parts.sockets.address(`${name}.guest`)));
  }

  /** File name in `<worker_dir>/scratch` of the socket at which clients find the guest, once serve() was called. */
  get socketName(): string {
    return `${this.name}.sock`;
  }

  /** Lets clients other than the worker reach the guest at `socketName`. */
  serve(): Promise<void> {
    return this.line.serve(this.parts.sockets.address(this.socketName));
  }

  /** Creates and starts the container. @throws ArgyleError DOCKER_ENGINE, SANDBOX_DEAD when destroyed meanwhile. */
  start(request: Omit<ContainerRequest, 'socketPath'>): Promise<void> {
    this.starting = this.run(request);
    return this.starting;
  }

  connect(): Promise<Socket> {
    return this.line.take();
  }

  http(): GuestHttp {
    return new GuestHttp(() => this.connect());
  }

  async pause(): Promise<void> {
    await this.parts.engine.call('pause a container', (docker) => docker.getContainer(this.id).pause());
  }

  async resume(): Promise<void> {
    await this.parts.engine.call('unpause a container', (docker) => docker.getContainer(this.id).unpause());
  }

  async usage(): Promise<SandboxUsage> {
    const { engine } = this.parts;
    const [stats, info] = await Promise.all([
      engine.call('measure a container', (docker) =>
        docker.getContainer(this.id).stats({ stream: false, 'one-shot': true }),
      ),
      this.inspect(),
    ]);
    const usage = toUsage(stats, info);
    // It is ending: why, its owner wants to know, and the engine is about to tell.
    if (usage.pids === 0 || !info.State.Running)
      await Promise.race([this.exited, sleep(NEWS_MS, null, { ref: false })]);
    return { ...usage, oomKills: this.exit?.oomKills ?? usage.oomKills };
  }

  describe(id: string): { title: string; root: string; cgroups: string } {
    const { image } = this.parts.settings;
    const container = `container ${this.id.slice(0, ID_LENGTH)}`;
    return { title: `SANDBOX ${id} (DOCKER)`, root: `image ${image}, ${container}`, cgroups: container };
  }

  destroy(): Promise<void> {
    this.destroying ??= this.free();
    return this.destroying;
  }

  private async run(request: Omit<ContainerRequest, 'socketPath'>): Promise<void> {
    const { engine, settings, sockets, log } = this.parts;
    const options = containerOptions(settings, { ...request, socketPath: sockets.path(`${this.name}.guest`) });
    const container = await engine.create(options);
    this.id = container.id;
    if (log !== undefined) {
      const frames = await engine.attach(this.id);
      pipeline(frames, new Unframe(), this.printed, () => undefined);
    }
    if (this.destroying !== undefined) throw new ArgyleError('SANDBOX_DEAD', 'destroyed while it was being made');
    await engine.call('start a container', () => container.start());
    void this.watch();
    void this.inspect().then(
      ({ State: { Pid: pid } }) => (this.pid = pid),
      () => undefined,
    );
  }

  private inspect(): Promise<ContainerInspectInfo> {
    return this.parts.engine.call('look at a container', (docker) => docker.getContainer(this.id).inspect());
  }

  /** Tells of the container's end. POLICY: one that the engine lost sight of counts as dead; destroy() makes it so. */
  private async watch(): Promise<void> {
    const code = await this.parts.engine.wait(this.id);
    if (this.destroying !== undefined) return;
    const info = await this.inspect().catch(() => undefined);
    this.exit = { oomKills: info?.State.OOMKilled === true ? 1 : 0, status: toWaitStatus(code) };
    this.line.close(new ArgyleError('SANDBOX_DEAD', `the guest is gone: ${describeDeath(this.exit)}`));
    this.ended(this.exit);
  }

  private async free(): Promise<void> {
    this.line.close(new ArgyleError('SANDBOX_DEAD', 'the sandbox was destroyed'));
    // A container that is just being made gets its id first, or nobody could remove it.
    await this.starting?.catch(() => undefined);
    if (this.id !== '') await this.parts.engine.remove(this.id);
    this.log.end();
  }
}

/** An exit code as the status that wait() would give. */
function toWaitStatus(code: number | undefined): number | undefined {
  if (code === undefined) return undefined;
  return code > SIGNAL_BASE ? code - SIGNAL_BASE : code << 8;
}

function toUsage(stats: ContainerStats, { State: state }: ContainerInspectInfo): SandboxUsage {
  const { usage = 0, stats: counts } = stats.memory_stats as {
    usage?: number;
    stats?: { total_inactive_file?: number; inactive_file?: number };
  };
  // Cached files are given back when memory is short: as `docker stats`, by cgroup v1's name or v2's.
  const cached = counts?.total_inactive_file ?? counts?.inactive_file ?? 0;
  const pids = stats.pids_stats?.current ?? 0;
  return {
    memBytes: Math.max(usage - cached, 0),
    pids,
    oomKills: state.OOMKilled ? 1 : 0,
    cpuUsec: Math.round(stats.cpu_stats.cpu_usage.total_usage / NS_PER_US),
    frozen: state.Paused,
    // The engine counts tasks.
    threads: pids,
    pid: state.Pid,
  };
}
