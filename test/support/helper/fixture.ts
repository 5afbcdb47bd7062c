/** A worker's directories for the helper: code, scratch, packages, a minimal base, and helper.conf in their parent. */
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
import { openPackagesDir } from '../../../src/packages/store/packages-dir';
import { ROOT } from './build';

/** A user id without an account, and the group that may call the helper. */
export const CALLER = 64999;
export const CALLERS_GROUP = 64998;
/** Range of sandbox ids, as in configs/helper.conf. */
export const SANDBOX_IDS = { first: 2_000_000_000, count: 134_217_728 };

let count = 0;

export interface FixtureOptions {
  /** Owner of the directories; default: root. */
  owner?: number;
  /** Path of helper.conf; default: in the parent of the directories. */
  confPath?: string;
  guest?: string;
  /** Parent of the fixture's directory; default: the system's temporary directory. */
  below?: string;
}

export class Fixture {
  readonly dir: string;
  readonly conf: string;
  /** Unique, so that tests never share cgroups. */
  readonly cgroupName = `argyle-t${process.pid}x${++count}-sandboxes`;
  readonly owner: number;

  constructor(options: FixtureOptions = {}) {
    this.dir = mkdtempSync(join(options.below ?? tmpdir(), 'argyle-helper-'));
    this.owner = options.owner ?? 0;
    chmodSync(this.dir, 0o755);
    for (const name of ['worker/code', 'worker/scratch']) this.mkdir(name);
    openPackagesDir(join(this.dir, 'packages'));
    for (const name of ['usr', 'etc', 'dev', 'handler', 'host', 'packages', 'runtime', 'tmp'])
      this.mkdir(`base/${name}`);
    for (const name of ['bin', 'lib', 'lib64', 'sbin']) symlinkSync(`usr/${name}`, join(this.dir, 'base', name));
    this.conf = options.confPath ?? join(this.dir, 'helper.conf');
    mkdirSync(dirname(this.conf), { recursive: true });
    this.configure({ guest: options.guest ?? join(ROOT, 'build/guest') });
    this.own();
  }

  /** Writes helper.conf. The lines of `extra` come last. */
  configure({ guest = join(ROOT, 'build/guest'), extra = '' } = {}): void {
    const lines = [`root ${this.dir}`, `sandbox_uids ${SANDBOX_IDS.first} ${SANDBOX_IDS.count}`];
    lines.push(`caller_gid ${CALLERS_GROUP}`, `guest ${guest}`, extra, '');
    rmSync(this.conf, { force: true });
    writeFileSync(this.conf, lines.join('\n'), { mode: 0o644 });
  }

  private mkdir(name: string): void {
    mkdirSync(join(this.dir, name), { recursive: true, mode: 0o755 });
  }

  /** Gives everything below the directory back to its owner. */
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

  /** Existing cgroups with this fixture's name, in every hierarchy. */
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
   * Cgroups of slots. Leaves out the v1 cgroups that the helper caches: those have one name in all hierarchies, no
   * process, and no counterpart in v2.
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
    execFileSync('rm', ['-rf', this.dir]); // Node's recursive removal fails on deep trees
  }
}
