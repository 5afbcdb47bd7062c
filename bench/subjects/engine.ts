import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { create } from 'tar';
import { SkipSubject } from '../subject';
import { findProgram } from './programs';

const execute = promisify(execFile);
const START_TRIES = 120;
const TRY_MS = 250;
const STOP_MS = 15_000;

/**
 * Starts $0 in its own mount namespace, so that the host sees none of its mounts. A tmpfs hides /run, since the engine
 * writes there whatever its settings. $0 ends with its parent.
 */
const APART = 'mount -t tmpfs -o mode=755 tmpfs /run && exec setpriv --pdeathsig TERM "$0" "$@"';

/** A Docker engine: a running one, else one that the bench starts in its own directory, without any network. */
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

  /** The argument vector of a docker command, with the program first. */
  command(...args: string[]): string[] {
    return [this.docker, ...this.host, ...args];
  }

  /** Arguments of `docker run` that put its cgroups where stop() finds them. */
  get runFlags(): string[] {
    return ['--cgroup-parent', this.cgroup];
  }

  async run(...args: string[]): Promise<void> {
    await execute(this.docker, [...this.host, ...args], { timeout: 60_000 });
  }

  /** Address of the engine from startOwn(), in DOCKER_HOST's format. */
  get endpoint(): string {
    return this.host[1] ?? '';
  }

  /** Makes an image from a directory, without a registry. */
  async importImage(root: string, image: string): Promise<void> {
    const archive = `${root}.tar`;
    await create({ file: archive, cwd: root }, ['.']);
    try {
      await this.run('import', archive, image);
    } finally {
      await rm(archive, { force: true });
    }
  }

  /** Stops an engine from startOwn() and removes its files. */
  async stop(): Promise<void> {
    const { daemon, folder } = this;
    if (daemon !== undefined && daemon.exitCode === null) {
      const ended = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGTERM');
      const inTime = await Promise.race([ended.then(() => true), sleep(STOP_MS, false, { ref: false })]);
      if (!inTime) daemon.kill('SIGKILL');
    }
    try {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    } finally {
      await this.removeCgroups();
    }
  }

  private async answers(): Promise<boolean> {
    const args = [...this.host, 'version', '--format', '{{.Server.Version}}'];
    return execute(this.docker, args, { timeout: 10_000 }).then(
      () => true,
      () => false,
    );
  }

  /**
   * Starts an engine. It ends with this process at the latest.
   * @throws SkipSubject when dockerd does not start on this machine
   */
  async startOwn(dockerd: string): Promise<void> {
    if (this.docker === '') this.docker = await findProgram('docker');
    const folder = await mkdtemp(join(tmpdir(), 'argyle-bench-engine-'));
    this.folder = folder;
    const socket = `unix://${join(folder, 'docker.sock')}`;
    this.host = ['--host', socket];
    const places = ['--data-root', 'data', '--exec-root', 'exec', '--pidfile', 'pid'].map((word, index) =>
      index % 2 === 0 ? word : join(folder, word),
    );
    const network = ['--bridge', 'none', '--iptables=false', '--ip6tables=false', '--ip-masq=false'];
    const cgroups = ['--exec-opt', 'native.cgroupdriver=cgroupfs', '--cgroup-parent', this.cgroup];
    const log = openSync(join(folder, 'log'), 'w');
    const args = [...cgroups, ...this.host, ...places, ...network];
    this.daemon = spawn('unshare', ['-m', '--propagation', 'private', 'sh', '-c', APART, dockerd, ...args], {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.daemon.once('error', () => undefined);
    for (let i = 0; i < START_TRIES; i += 1) {
      if (this.daemon.exitCode !== null) throw new SkipSubject('dockerd is installed but does not start here');
      if (await this.answers()) return;
      await sleep(TRY_MS);
    }
    throw new SkipSubject(`dockerd did not answer within ${(START_TRIES * TRY_MS) / 1000} s`);
  }

  /**
   * Removes the empty parent cgroup in every hierarchy. runc makes it at the top, or in v1 below this process's cgroup.
   */
  private async removeCgroups(): Promise<void> {
    const top = '/sys/fs/cgroup';
    const hierarchies = await readdir(top).catch(() => []);
    const own = (await readFile('/proc/self/cgroup', 'utf8')).trim().split('\n');
    const parents = ['.', ...hierarchies, ...own.map((line) => line.split(':').slice(1).join('/'))];
    for (const parent of parents) await rmdir(join(top, parent, this.cgroup)).catch(() => undefined);
  }
}
