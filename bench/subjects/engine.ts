import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { openSync } from 'node:fs';
import { mkdtemp, readdir, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { SkipSubject } from '../subject';
import { findProgram } from './programs';

const execute = promisify(execFile);
const START_TRIES = 120;
const TRY_MS = 250;
const STOP_MS = 15_000;

/** A Docker engine: the one that answers, else one of our own, in a directory of its own, without any network. */
export class DockerEngine {
  private readonly cgroup = `argyle-bench-${process.pid}`;
  private docker = '';
  private host: string[] = [];
  private folder: string | undefined;
  private daemon: ChildProcess | undefined;

  /**
   * Finds or starts the engine.
   * @throws SkipSubject when none answers and none can be started
   */
  async start(): Promise<void> {
    this.docker = await findProgram('docker');
    if (await this.answers()) return;
    const dockerd = await findProgram('dockerd').catch(() => {
      throw new SkipSubject('no Docker engine answers, and dockerd is not installed');
    });
    if (process.getuid?.() !== 0) throw new SkipSubject('no Docker engine answers, and starting one needs root');
    await this.startOwn(dockerd);
  }

  /** Arguments in front of a docker command, the program first. */
  command(...args: string[]): string[] {
    return [this.docker, ...this.host, ...args];
  }

  /** Arguments to `docker run` that keep its cgroups where stop() finds them. */
  get runFlags(): string[] {
    return ['--cgroup-parent', this.cgroup];
  }

  async run(...args: string[]): Promise<void> {
    await execute(this.docker, [...this.host, ...args], { timeout: 60_000 });
  }

  /** Ends an engine of our own and removes all that it made. */
  async stop(): Promise<void> {
    const { daemon, folder } = this;
    if (daemon !== undefined && daemon.exitCode === null) {
      const ended = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGTERM');
      await Promise.race([ended, sleep(STOP_MS, undefined, { ref: false })]);
    }
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    await this.removeCgroups();
  }

  private async answers(): Promise<boolean> {
    const args = [...this.host, 'version', '--format', '{{.Server.Version}}'];
    return execute(this.docker, args, { timeout: 10_000 }).then(
      () => true,
      () => false,
    );
  }

  private async startOwn(dockerd: string): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'argyle-bench-engine-'));
    this.folder = folder;
    const socket = `unix://${join(folder, 'docker.sock')}`;
    this.host = ['--host', socket];
    const places = ['--data-root', 'data', '--exec-root', 'exec', '--pidfile', 'pid'].map((word, index) =>
      index % 2 === 0 ? word : join(folder, word),
    );
    const network = ['--bridge', 'none', '--iptables=false', '--ip6tables=false', '--ip-masq=false'];
    const options = ['--exec-opt', 'native.cgroupdriver=cgroupfs', '--host', socket];
    const log = openSync(join(folder, 'log'), 'w');
    this.daemon = spawn(dockerd, [...options, ...places, ...network], { stdio: ['ignore', log, log] });
    this.daemon.once('error', () => undefined);
    for (let i = 0; i < START_TRIES; i += 1) {
      if (this.daemon.exitCode !== null) throw new SkipSubject('dockerd is installed but does not start here');
      if (await this.answers()) return;
      await sleep(TRY_MS);
    }
    throw new SkipSubject(`dockerd did not answer within ${(START_TRIES * TRY_MS) / 1000} s`);
  }

  /** The parent cgroup, in every hierarchy; empty by now. */
  private async removeCgroups(): Promise<void> {
    const hierarchies = await readdir('/sys/fs/cgroup').catch(() => []);
    for (const hierarchy of ['.', ...hierarchies]) {
      await rmdir(join('/sys/fs/cgroup', hierarchy, this.cgroup)).catch(() => undefined);
    }
  }
}
