import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SkipSubject } from '../subject';
import type { Subject } from '../subject';
import { findProgram } from '../subjects/programs';

const execute = promisify(execFile);

/** Names in bench/guest/primitives.c. */
export const PRIMITIVES = ['fork', 'pid', 'ipc', 'uts', 'mount', 'user', 'net', 'chroot', 'cgroup-new', 'cgroup-reuse'];
export const CONCURRENCY = [1, 2, 4, 8] as const;
/** Operations per process in one measurement: enough that the program's start time does not matter. */
const OPS = 20;
const TIMEOUT_MS = 30_000;

/** A row name, which primitivePoint() parses. */
export const primitiveName = (primitive: string, workers: number): string => `${primitive} ×${workers}`;

/** The primitive and the concurrency of a row. */
export function primitivePoint(name: string): { primitive: string; workers: number } {
  const [primitive = '', workers = ''] = name.split(' ×');
  return { primitive, workers: Number(workers) };
}

/**
 * A cgroup mount in which this process can create a directory: the memory controller's hierarchy, else the unified one.
 */
async function cgroupMount(): Promise<string> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const mountOf = (pattern: RegExp): string | undefined => lines.find((line) => pattern.test(line))?.split(' ')[4];
  const found = mountOf(/ - cgroup \S+ \S*\bmemory\b/) ?? mountOf(/ - cgroup2 /);
  if (found === undefined) throw new SkipSubject('no cgroup hierarchy is mounted');
  return found;
}

/** The compiled program and its cgroup, shared by all primitives. use() counts the users. */
export class PrimitivesProgram {
  private users = 0;
  private starting: Promise<void> | undefined;
  private cgroup = '';

  constructor(private readonly root: string) {}

  /** @throws SkipSubject without root or a compiler */
  async use(): Promise<void> {
    this.users += 1;
    this.starting ??= this.build();
    await this.starting;
  }

  /** The last user removes the cgroup, and a child cgroup that a failed measurement left. */
  async leave(): Promise<void> {
    this.users -= 1;
    if (this.users > 0 || this.cgroup === '') return;
    for (const entry of await readdir(this.cgroup, { withFileTypes: true })) {
      if (entry.isDirectory()) await rmdir(join(this.cgroup, entry.name));
    }
    await rmdir(this.cgroup);
  }

  /** Mean time of one operation while `workers` processes run it at the same time, ms. */
  async time(primitive: string, workers: number): Promise<number> {
    const args = [primitive, String(workers), String(OPS), this.cgroup];
    const { stdout } = await execute(this.binary, args, { timeout: TIMEOUT_MS });
    const { ms } = JSON.parse(stdout) as { ms: number };
    return ms;
  }

  private get binary(): string {
    return join(this.root, 'build/primitives');
  }

  private async build(): Promise<void> {
    if (process.getuid?.() !== 0) throw new SkipSubject('needs root');
    const compiler = await findProgram('cc');
    await execute(compiler, ['-O2', '-Wall', '-o', this.binary, join(this.root, 'bench/guest/primitives.c')]);
    const cgroup = join(await cgroupMount(), `argyle-bench-primitives-${process.pid}`);
    await mkdir(cgroup);
    this.cgroup = cgroup;
  }
}

/** One primitive at one concurrency. */
export class Primitive implements Subject {
  readonly name: string;
  readonly about: string;

  constructor(
    private readonly program: PrimitivesProgram,
    private readonly primitive: string,
    private readonly workers: number,
  ) {
    this.name = primitiveName(primitive, workers);
    this.about = `mean of ${OPS} times: a child with ${primitive} made and waited for, ${workers} processes at once`;
  }

  setup(): Promise<void> {
    return this.program.use();
  }

  run(): Promise<number> {
    return this.program.time(this.primitive, this.workers);
  }

  teardown(): Promise<void> {
    return this.program.leave();
  }
}

/** All primitives at all concurrencies. */
export function makePrimitives(root: string): Subject[] {
  const program = new PrimitivesProgram(root);
  return PRIMITIVES.flatMap((name) => CONCURRENCY.map((workers) => new Primitive(program, name, workers)));
}
