import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SkipSubject } from '../subject';
import type { Subject } from '../subject';
import { Timer } from '../timer';

const execute = promisify(execFile);

/** The program of all program subjects: a Python that starts and does nothing. */
export const PYTHON_PASS: readonly string[] = ['/usr/bin/python3', '-c', 'pass'];

/** Finds a program on PATH. @throws SkipSubject with the reason when it is missing */
export async function findProgram(name: string): Promise<string> {
  try {
    return (await execute('/bin/sh', ['-c', 'PATH=$PATH:/usr/sbin:/sbin command -v "$0"', name])).stdout.trim();
  } catch {
    throw new SkipSubject(`${name} is not installed`);
  }
}

/** A subject that starts a program and waits for its end. */
export abstract class ProgramSubject implements Subject {
  abstract readonly name: string;
  abstract readonly about: string;
  /** Cgroups of the program, with their limits by file. */
  protected readonly cgroups: Record<string, Record<string, string>> = {};
  private timer: Timer | undefined;
  private argv: string[] = [];

  constructor(protected readonly root: string) {}

  /** Prepares the program and returns its argument vector. @throws SkipSubject */
  protected abstract prepare(): Promise<string[]>;

  async setup(): Promise<void> {
    this.argv = await this.prepare();
    this.timer = await Timer.start(this.root);
  }

  async run(): Promise<number> {
    if (this.timer === undefined) throw new Error(`${this.name}: not set up`);
    return this.timer.time({ op: 'spawn', argv: this.argv, cgroups: this.cgroups });
  }

  teardown(): Promise<void> {
    this.timer?.stop();
    return Promise.resolve();
  }
}

export class BarePython extends ProgramSubject {
  readonly name = 'python3 -c pass';
  readonly about = 'a bare interpreter, no isolation, from start to end';

  protected prepare(): Promise<string[]> {
    return Promise.resolve([...PYTHON_PASS]);
  }
}

export class Bubblewrap extends ProgramSubject {
  readonly name: string = 'bwrap';
  readonly about: string = 'bubblewrap: user, pid, ipc, uts and mount namespaces, /usr read-only, python3 -c pass';

  protected async prepare(): Promise<string[]> {
    const program = await findProgram('bwrap');
    const links = ['bin', 'lib', 'lib64', 'sbin'].flatMap((name) => ['--symlink', `usr/${name}`, `/${name}`]);
    const namespaces = ['--unshare-user', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--cap-drop', 'ALL'];
    const mounts = ['--ro-bind', '/usr', '/usr', '--proc', '/proc', '--dev', '/dev', '--tmpfs', '/tmp'];
    return [program, ...namespaces, ...mounts, ...links, '--die-with-parent', ...PYTHON_PASS];
  }
}

/** bubblewrap sets no limits. This subject sets the limits of an Argyle sandbox in all available controllers. */
export class LimitedBubblewrap extends Bubblewrap {
  override readonly name = 'bwrap with limits';
  override readonly about = 'the same in cgroups of its own with limits of memory, processes and CPU';

  constructor(
    root: string,
    private readonly limits: { procs: number; mem_mb: number },
  ) {
    super(root);
  }

  protected override async prepare(): Promise<string[]> {
    if (process.getuid?.() !== 0) throw new SkipSubject('needs root');
    const memory = String(this.limits.mem_mb << 20);
    const pids = { 'pids.max': String(this.limits.procs) };
    const v1 = { memory: { 'memory.limit_in_bytes': memory }, pids, cpu: { 'cpu.cfs_quota_us': '100000' } };
    const v2 = { 'memory.max': memory, ...pids, 'cpu.max': '100000 100000' };
    const top = '/sys/fs/cgroup';
    const name = `argyle-bench-bwrap-${process.pid}`;
    if (existsSync(join(top, 'cgroup.controllers'))) this.cgroups[join(top, name)] = v2;
    else for (const [kind, limits] of Object.entries(v1)) this.cgroups[join(top, kind, name)] = limits;
    return super.prepare();
  }
}

/** Forks an idle Python that has imported the same modules as a zygote's guest. */
export class RawFork implements Subject {
  readonly about: string;
  private timer: Timer | undefined;

  /** @param rssMb resident size of the forked process, MB; 0 leaves it unchanged */
  constructor(
    private readonly root: string,
    readonly name: string,
    private readonly rssMb: number,
  ) {
    const size = rssMb === 0 ? 'its own size' : `${rssMb} MB`;
    this.about = `os.fork() of an idle Python with the guest's modules, ${size}, until the child's first statement`;
  }

  async setup(): Promise<void> {
    this.timer = await Timer.start(this.root, [
      '--rss-mb',
      String(this.rssMb),
      '--guest',
      join(this.root, 'build/guest'),
    ]);
  }

  async run(): Promise<number> {
    if (this.timer === undefined) throw new Error(`${this.name}: not set up`);
    return this.timer.time({ op: 'fork' });
  }

  teardown(): Promise<void> {
    this.timer?.stop();
    return Promise.resolve();
  }
}
