/** A container with one guest, made for one sandbox. In a Docker engine, a container takes the place of a slot. */
import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough, pipeline } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { ArgyleError } from '../../errors';
import { describeDeath } from '../death';
import type { LeafHost } from '../leaf';
import { LogTap, type LogSink } from '../log-tap';
import type { SandboxExit, SandboxUsage } from '../types';
import type { ContainerState, ContainerStats } from './api';
import type { Engine } from './engine';
import { FrameDecoder } from './frames';
import { GuestHttp } from '../guest-http';
import { HostLife, type HostEnd } from '../host-life';
import { GuestListener } from './guest-listener';
import { containerOptions, type ContainerRequest, type ContainerSettings } from './options';

/** Shells and engines report death by signal N as exit code 128 + N. */
const SIGNAL_BASE = 128;
const NS_PER_US = 1000;
/** Limit for the delay between a guest's end and the engine's report of that end, in ms. */
const NEWS_MS = 500;
const ID_LENGTH = 12;

export interface ContainerParts {
  engine: Engine;
  settings: ContainerSettings;
  sockets: SocketDir;
  log: LogSink | undefined;
}

/**
 * The directory `<worker_dir>/scratch`. The kernel limits the length of a Unix socket's address. SocketDir provides
 * short addresses, however long the directory's path is.
 */
export class SocketDir {
  private readonly fd: number;
  private serial = 0;

  constructor(private readonly dir: string) {
    this.fd = openSync(dir, 'r');
  }

  /** Returns a name that this worker has never used. */
  name(): string {
    return `docker-${++this.serial}`;
  }

  /** Returns the address for bind() and connect() in this process. */
  address(name: string): string {
    return `/proc/self/fd/${this.fd}/${name}`;
  }

  /** Returns the path for other processes. */
  path(name: string): string {
    return join(this.dir, name);
  }

  close(): void {
    closeSync(this.fd);
  }
}

export class Container implements LeafHost {
  readonly log: LogTap;
  readonly exited: Promise<SandboxExit>;
  pid = 0;
  private readonly life = new HostLife('a container');
  private id = '';
  private starting: Promise<void> | undefined;
  private readonly printed = new PassThrough();
  private readonly errors = new PassThrough();

  private constructor(
    private readonly parts: ContainerParts,
    private readonly name: string,
    private readonly listener: GuestListener,
  ) {
    this.log = new LogTap(this.printed, name, parts.log, this.errors);
    this.exited = this.life.exited;
  }

  /**
   * Makes the worker's part of a container: the socket that the guest connects to. @throws ArgyleError SANDBOX_CREATE
   */
  static async make(parts: ContainerParts): Promise<Container> {
    const name = parts.sockets.name();
    return new Container(parts, name, await GuestListener.listen(parts.sockets.address(`${name}.guest`)));
  }

  /** Set when `exited` resolves. */
  get exit(): SandboxExit | undefined {
    return this.life.exit;
  }

  /** File name of the clients' socket in `<worker_dir>/scratch`; the socket exists after serve(). */
  get socketName(): string {
    return `${this.name}.sock`;
  }

  /** Accepts clients other than the worker at `socketName`. */
  serve(): Promise<void> {
    return this.listener.serve(this.parts.sockets.address(this.socketName));
  }

  /** Creates and starts the container. @throws ArgyleError DOCKER_ENGINE, SANDBOX_DEAD when destroyed in parallel */
  start(request: Omit<ContainerRequest, 'socketPath'>): Promise<void> {
    this.starting = this.run(request);
    return this.starting;
  }

  connect(): Promise<Socket> {
    return this.listener.take();
  }

  http(concurrency: number): GuestHttp {
    this.listener.widen(concurrency);
    return new GuestHttp(() => this.connect());
  }

  async pause(): Promise<void> {
    await this.parts.engine.pause(this.id);
  }

  async resume(): Promise<void> {
    await this.parts.engine.unpause(this.id);
  }

  async usage(): Promise<SandboxUsage> {
    const { engine } = this.parts;
    const [stats, info] = await Promise.all([engine.stats(this.id), engine.inspect(this.id)]);
    const usage = toUsage(stats, info);
    // The container is ending. The wait lets the engine report the cause.
    if (usage.pids === 0 || !info.State.Running)
      await Promise.race([this.exited, sleep(NEWS_MS, null, { ref: false })]);
    return { ...usage, oomKills: this.exit?.oomKills ?? usage.oomKills };
  }

  describe(id: string): { title: string; root: string; cgroups: string } {
    const { image } = this.parts.settings;
    const container = `container ${this.id.slice(0, ID_LENGTH)}`;
    return { title: `SANDBOX ${id} (DOCKER)`, root: `image ${image}, ${container}`, cgroups: container };
  }

  /** Whether the engine has confirmed that a destroyed container is gone. */
  get isEmptied(): boolean {
    return this.life.phase === 'emptied';
  }

  destroy(): Promise<void> {
    return this.life.free(() => this.free());
  }

  private async run(request: Omit<ContainerRequest, 'socketPath'>): Promise<void> {
    const { engine, settings, sockets, log } = this.parts;
    const options = containerOptions(settings, { ...request, socketPath: sockets.path(`${this.name}.guest`) });
    this.id = await engine.create(options);
    if (log !== undefined) {
      const frames = await engine.attach(this.id);
      pipeline(frames, new FrameDecoder(this.errors), this.printed, () => this.errors.end());
    }
    if (this.life.isGivenUp) throw new ArgyleError('SANDBOX_DEAD', 'destroyed while it was being made');
    await engine.start(this.id);
    this.life.tryMove('running');
    void this.watch();
    void engine.inspect(this.id).then(
      ({ State: { Pid: pid } }) => (this.pid = pid),
      () => undefined,
    );
  }

  /**
   * Reports the container's end. POLICY: a container that the engine cannot report on counts as dead; destroy() then
   * removes it.
   */
  private async watch(): Promise<void> {
    const { engine } = this.parts;
    const code = await engine.wait(this.id);
    if (this.life.isGivenUp) return;
    const info = await engine.inspect(this.id).catch(() => undefined);
    const exit = { oomKills: info?.State.OOMKilled === true ? 1 : 0, status: toWaitStatus(code) };
    this.listener.close(new ArgyleError('SANDBOX_DEAD', `the guest is gone: ${describeDeath(exit)}`));
    this.life.finish(exit);
  }

  private async free(): Promise<HostEnd> {
    this.listener.close(new ArgyleError('SANDBOX_DEAD', 'the sandbox was destroyed'));
    // Waits for the id of a container that is being created. Without its id, the container could not be removed.
    await this.starting?.catch(() => undefined);
    const removed = this.id === '' || (await this.parts.engine.remove(this.id));
    this.log.end();
    return removed ? 'emptied' : 'stuck';
  }
}

/** Converts an exit code to the status that wait() would return. */
function toWaitStatus(code: number | undefined): number | undefined {
  if (code === undefined) return undefined;
  return code > SIGNAL_BASE ? code - SIGNAL_BASE : code << 8;
}

function toUsage(stats: ContainerStats, { State: state }: ContainerState): SandboxUsage {
  const { usage = 0, stats: counts } = stats.memory_stats;
  // Cached files are reclaimable, so they are subtracted, as in `docker stats`. The fields are those of cgroup v1 and
  // v2.
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
