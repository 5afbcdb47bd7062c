/** A real worker, started by `ol worker`, as root or as an ordinary user with the setuid helper. */
import { execFile, spawn } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  chownSync,
  closeSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { buildHelper } from './helper/build';
import { NO_WARMUP } from './ol';
import { freePort } from './ports';
import { until } from './until';

const ROOT = resolve(__dirname, '../..');
/** Ids without an entry in /etc/passwd, so that no real user's files are affected. */
export const USER = { uid: 64990, gid: 64991 };
/** Ids of USER's sandboxes. Other workers use the range in configs/helper.conf, so this range does not overlap it. */
const USER_IDS = '1800000000 1048576';

/** Configuration of a worker whose only zygote has imported no package. */
export const ROOT_ZYGOTE = {
  features: { import_cache: 'tree' },
  import_cache_tree: { packages: [], children: [] },
} as const;

export interface E2eOptions {
  /** `user` runs the worker as USER, with a setuid helper that is made for the test. */
  as?: 'root' | 'user';
  /** Merged into config.json, two levels deep. */
  config?: Record<string, unknown>;
  /** Environment variables for `ol`, in addition to this process's. */
  env?: Record<string, string>;
  /** The Node that runs `ol`; default: this process's. */
  node?: string;
}

export interface Process {
  pid: number;
  ppid: number;
  cmd: string;
}

/** All processes of this machine. */
export function processes(): Process[] {
  const found: Process[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (fields[0] === 'Z') continue;
      const cmd = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      found.push({ pid: Number(name), ppid: Number(fields[1]), cmd });
    } catch {
      // The process ended during the scan.
    }
  }
  return found;
}

export class E2eWorker {
  readonly top = mkdtempSync(join(tmpdir(), 'argyle-e2e-'));
  readonly dir = join(this.top, `ol${String(process.pid)}`);
  url = '';
  private readonly as: 'root' | 'user';
  private readonly overrides: Record<string, unknown>;
  private readonly env: Record<string, string>;
  private readonly node: string;
  private program = join(ROOT, 'bin/ol');
  private helper: { binary: string; conf: string } | undefined;

  constructor(options: E2eOptions = {}) {
    this.as = options.as ?? 'root';
    this.overrides = options.config ?? {};
    this.env = options.env ?? {};
    this.node = options.node ?? process.execPath;
    chmodSync(this.top, 0o755);
    if (this.as === 'user') this.prepareUser();
  }

  /** Runs `ol …argv` as this worker's user. */
  async ol(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
    return new Promise((done) => {
      const options = { ...this.settings(), timeout: 240_000 };
      execFile(this.node, [this.program, ...argv], options, (error, out, err) => {
        done({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err });
      });
    });
  }

  /** Directory, environment and user of `ol`. */
  private settings(): { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number } {
    const env = { ...process.env, HOME: this.top, ...this.env };
    return { cwd: this.top, env, ...(this.as === 'user' ? USER : {}) };
  }

  async init(): Promise<void> {
    const run = await this.ol('worker', 'init', `-p=${this.dir}`);
    if (run.code !== 0) throw new Error(`init: ${run.out}${run.err}`);
    const port = await freePort();
    this.url = `http://127.0.0.1:${String(port)}`;
    const file = join(this.dir, 'config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    const more: Record<string, unknown> = { worker_port: String(port), mem_pool_mb: 2000, ...this.overrides };
    more['argyle'] = {
      ...NO_WARMUP,
      ...(more['argyle'] as Record<string, unknown> | undefined),
      ...(this.helper === undefined ? {} : { helper: this.helper.binary, helper_conf: this.helper.conf }),
    };
    for (const [key, value] of Object.entries(more)) {
      const old = config[key];
      const merge = typeof value === 'object' && typeof old === 'object' && old !== null && key !== 'import_cache_tree';
      config[key] = merge ? { ...old, ...value } : value;
    }
    writeFileSync(file, JSON.stringify(config, null, 2));
    if (this.as === 'user') chownSync(file, USER.uid, USER.gid);
  }

  /** Starts the worker detached. Throws with the worker's output when it does not become ready. */
  async up(): Promise<void> {
    if (process.env['ARGYLE_VM'] === '1') return this.upSlowly();
    const run = await this.ol('worker', 'up', `-p=${this.dir}`, '-d');
    if (run.code !== 0) throw new Error(`up: ${run.out}${run.err}\n${this.output()}`);
  }

  /**
   * Starts the worker in the foreground. An emulated machine needs more than the 30 s of `up -d` to load Node's
   * modules.
   */
  private async upSlowly(): Promise<void> {
    const log = openSync(join(this.dir, 'worker.out'), 'a');
    const child = spawn(this.node, [this.program, 'worker', 'up', `-p=${this.dir}`], {
      ...this.settings(),
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    const answers = async (): Promise<boolean> => {
      if (child.exitCode !== null) throw new Error(`up: exit code ${String(child.exitCode)}\n${this.output()}`);
      return fetch(`${this.url}/status`).then(
        ({ status }) => status === 200,
        () => false,
      );
    };
    await until('the worker answers', answers, 30_000);
    child.unref();
  }

  async down(): Promise<void> {
    const run = await this.ol('worker', 'down', `-p=${this.dir}`);
    if (run.code !== 0) throw new Error(`down: ${run.out}${run.err}\n${this.output()}`);
  }

  /** The contents of worker.out. */
  output(): string {
    const file = join(this.dir, 'worker.out');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  pid(): number {
    return Number(readFileSync(join(this.dir, 'worker/worker.pid'), 'utf8'));
  }

  /** Pid of this worker's helper. */
  helperPid(): number {
    const pid = this.pid();
    const found = processes().find((p) => p.ppid === pid && p.cmd.includes('sandbox-helper'));
    if (found === undefined) throw new Error('no helper is running');
    return found.pid;
  }

  /** Processes below the helper: fresh guests, zygotes, and their forks. */
  guests(role?: string): Process[] {
    const all = processes();
    const under = new Set([this.helperPid()]);
    for (let grown = true; grown;) {
      grown = false;
      for (const p of all) {
        if (!under.has(p.pid) && under.has(p.ppid)) {
          under.add(p.pid);
          grown = true;
        }
      }
    }
    under.delete(this.helperPid());
    return all.filter((p) => under.has(p.pid) && (role === undefined || p.cmd.endsWith(` ${role}`)));
  }

  /** Cgroup directories of this worker, in every hierarchy. */
  cgroups(): string[] {
    const name = `ol${String(process.pid)}`;
    const roots = ['/sys/fs/cgroup', ...readdirSync('/sys/fs/cgroup').map((entry) => join('/sys/fs/cgroup', entry))];
    const found: string[] = [];
    for (const root of roots) {
      if (!statSync(root).isDirectory()) continue;
      for (const entry of readdirSync(root)) {
        if (entry.includes(`${name}-`) && statSync(join(root, entry)).isDirectory()) found.push(join(root, entry));
      }
    }
    return found;
  }

  /** Lines of this process's mount table with this worker's directory. */
  mounts(): string[] {
    return readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(this.top));
  }

  /** Stops the worker and its processes, and removes the directory. */
  async remove(): Promise<void> {
    if (existsSync(this.dir)) await this.ol('worker', 'force-cleanup', `-p=${this.dir}`);
    rmSync(this.top, { recursive: true, force: true });
    if (this.helper !== undefined) rmSync(dirname(this.helper.conf), { recursive: true, force: true });
  }

  private prepareUser(): void {
    chownSync(this.top, USER.uid, USER.gid);
    const etc = mkdtempSync(join(tmpdir(), 'argyle-etc-'));
    chmodSync(etc, 0o755);
    const conf = join(etc, 'helper.conf');
    const guest = join(etc, 'guest');
    cpSync(join(ROOT, 'build/guest'), guest, { recursive: true });
    writeFileSync(
      conf,
      `root ${this.top}\nsandbox_uids ${USER_IDS}\ncaller_gid ${String(USER.gid)}\nguest ${guest}\n`,
      { mode: 0o644 },
    );
    const built = buildHelper(`sandbox-helper-e2e-${String(process.pid)}`, [`-DARGYLE_CONFIG="${conf}"`]);
    const binary = join(etc, 'sandbox-helper');
    cpSync(built, binary);
    rmSync(built);
    cpSync(join(ROOT, 'build/libargyle.so'), join(etc, 'libargyle.so'));
    chownSync(binary, 0, USER.gid);
    chmodSync(binary, 0o4750);
    this.helper = { binary, conf };
    if (!readableByAll(ROOT)) {
      // Other users may not have access to the checkout, e.g. below a home directory.
      const copy = join(etc, 'argyle');
      mkdirSync(copy);
      for (const part of ['configs', 'bin', 'dist', 'node_modules', 'package.json'])
        cpSync(join(ROOT, part), join(copy, part), { recursive: true, verbatimSymlinks: true });
      this.program = join(copy, 'bin/ol');
    }
  }
}

function readableByAll(path: string): boolean {
  accessSync(path, constants.R_OK);
  for (let at = path; ; at = resolve(at, '..')) {
    if ((statSync(at).mode & 0o005) !== 0o005) return false;
    if (at === '/') return true;
  }
}
