/** A worker's directories for the helper: code, scratch, packages, a minimal base, and a helper.conf above them. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { ROOT } from './build';

/** An ordinary user of no account, the group that may call, and the user of sandboxes. */
export const CALLER = 64999;
export const CALLERS_GROUP = 64998;
export const SANDBOX_USER = 64321;

let count = 0;

export interface FixtureOptions {
  /** Owner of the directories; default root. */
  owner?: number;
  /** Where helper.conf is written; default above the directories. */
  confPath?: string;
  guest?: string;
  /** Directory to make it in; default the system's. */
  below?: string;
}

export class Fixture {
  readonly dir: string;
  readonly conf: string;
  /** Unique, so that tests never meet each other's cgroups. */
  readonly cgroupName = `argyle-t${process.pid}x${++count}-sandboxes`;
  readonly owner: number;

  constructor(options: FixtureOptions = {}) {
    this.dir = mkdtempSync(join(options.below ?? tmpdir(), 'argyle-helper-'));
    this.owner = options.owner ?? 0;
    chmodSync(this.dir, 0o755);
    for (const name of ['worker/code', 'worker/scratch', 'packages']) this.mkdir(name);
    for (const name of ['usr', 'etc', 'dev', 'handler', 'host', 'packages', 'runtime', 'tmp'])
      this.mkdir(`base/${name}`);
    for (const name of ['bin', 'lib', 'lib64', 'sbin']) symlinkSync(`usr/${name}`, join(this.dir, 'base', name));
    this.conf = options.confPath ?? join(this.dir, 'helper.conf');
    mkdirSync(dirname(this.conf), { recursive: true });
    this.configure({ guest: options.guest ?? join(ROOT, 'build/guest') });
    this.own();
  }

  /** Writes helper.conf; `extra` lines come last. */
  configure({ guest = join(ROOT, 'build/guest'), extra = '' } = {}): void {
    const lines = [`root ${this.dir}`, `sandbox_uid ${SANDBOX_USER}`, `sandbox_gid ${SANDBOX_USER}`];
    lines.push(`caller_gid ${CALLERS_GROUP}`, `guest ${guest}`, extra, '');
    rmSync(this.conf, { force: true });
    writeFileSync(this.conf, lines.join('\n'), { mode: 0o644 });
  }

  private mkdir(name: string): void {
    mkdirSync(join(this.dir, name), { recursive: true, mode: 0o755 });
  }

  /** Gives everything below the directory to its owner again. */
  own(): void {
    if (this.owner === 0) return;
    for (const name of ['worker', 'packages', 'base'])
      execFileSync('chown', ['-hR', `${this.owner}:${this.owner}`, join(this.dir, name)]);
  }

  /** Writes `files` below the directory. */
  write(files: Record<string, string>): void {
    for (const [name, text] of Object.entries(files)) {
      const path = join(this.dir, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    this.own();
  }

  /** Cgroups that exist under this fixture's name, in every hierarchy. */
  cgroups(): string[] {
    const found: string[] = [];
    const top = '/sys/fs/cgroup';
    for (const base of [top, ...readdirSync(top).map((name) => join(top, name))]) {
      for (const prefix of ['', `u${CALLER}-`]) {
        const path = join(base, prefix + this.cgroupName);
        if (!existsSync(path)) continue;
        found.push(path);
        for (const pool of ['', 'lambda', 'install']) {
          const dir = join(path, pool);
          if (existsSync(dir))
            found.push(
              ...readdirSync(dir)
                .filter((n) => n.startsWith('cg-'))
                .map((n) => join(dir, n)),
            );
        }
      }
    }
    return found;
  }

  /**
   * Cgroups of slots: those above but for v1 cgroups that the helper keeps for later, which are in all hierarchies
   * under one name, without a process, and without a counterpart in v2.
   */
  slotCgroups(): string[] {
    const all = this.cgroups().filter((path) => basename(path).startsWith('cg-'));
    const isV2 = (path: string): boolean => existsSync(join(path, 'cgroup.freeze'));
    const hierarchies = new Set(all.filter((path) => !isV2(path)).map((path) => dirname(path)));
    return all.filter((path) => {
      const same = all.filter((other) => basename(other) === basename(path));
      const isKept = same.length === hierarchies.size && !same.some(isV2);
      return !isKept || readFileSync(join(path, 'cgroup.procs'), 'utf8') !== '';
    });
  }

  remove(): void {
    execFileSync('rm', ['-rf', this.dir]); // Node's own recursion ends at deep trees
  }
}

/** Processes of the host that run as the sandbox user. */
export function sandboxProcesses(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const out = execFileSync('stat', ['-c', '%u', `/proc/${pid}`], { stdio: ['ignore', 'pipe', 'ignore'] });
        return Number(out) === SANDBOX_USER;
      } catch {
        return false;
      }
    });
}
