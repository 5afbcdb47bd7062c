/**
 * Copies of the code of sock mode's sandboxes. The rules are those of uploads. Sandboxes mount a copy read-only, so
 * they share one copy while the source is unchanged. A further sandbox then needs neither a copy nor an unpacked
 * archive.
 */
import { lstatSync, readdirSync, statSync, type BigIntStats } from 'node:fs';
import { join } from 'node:path';
import type { CodeDirs } from '../code/directories';
import { findEntry, resolveEnv } from '../code/environment';
import type { Intake } from '../code/intake/intake';
import { copyCode } from './sock-parts';

/** Unused copies that are kept for later sandboxes. */
const KEPT = 8;
/**
 * POLICY: a directory with more entries is copied each time. Examining it would take as long as a copy, and would block
 * the event loop.
 */
const MOST_ENTRIES = 128;
/**
 * A file that changed within this time, in ms, may change again without a new change time. Linux counts change times in
 * ticks of up to 10 ms, some file systems in seconds.
 */
const SETTLED_MS = 2000;

/** The part of the code that a sandbox needs. */
export interface SockCode {
  dir: string;
  codeName: string;
  env: Record<string, string>;
  entryFile: string;
  /** Call this when the sandbox is gone. */
  release: () => void;
}

interface Copy {
  /** State of the source; undefined for a copy that is not shared. */
  stamp: string | undefined;
  users: number;
  made: Promise<Omit<SockCode, 'entryFile' | 'release'>>;
}

/** Thrown for a directory whose copy must not be shared. */
class Unshared extends Error {}

/**
 * A text that changes with the code: numbers, sizes and change times of the files.
 * @param settledMs time for which the code must have been unchanged, in ms
 * @returns undefined for code that is too large, that changed within `settledMs`, or that cannot be read
 */
export function stampOf(code: string, settledMs = SETTLED_MS): string | undefined {
  const latestMs = Date.now() - settledMs;
  const parts: (string | bigint)[] = [];
  const add = (name: string, stat: BigIntStats): void => {
    if (parts.length > MOST_ENTRIES * 6 || Number(stat.ctimeMs) > latestMs) throw new Unshared();
    parts.push(name, stat.dev, stat.ino, stat.mode, stat.size, stat.ctimeNs);
  };
  const look = (dir: string): void => {
    for (const name of readdirSync(dir).sort()) {
      const path = join(dir, name);
      const stat = lstatSync(path, { bigint: true });
      add(path, stat);
      if (stat.isDirectory()) look(path);
    }
  };
  try {
    const top = statSync(code, { bigint: true });
    add(code, top);
    if (top.isDirectory()) look(code);
  } catch {
    // Copying reports the error.
    return undefined;
  }
  return parts.join('\0');
}

export class SockCopies {
  /** The newest copy for each source path. The copy that has been unused for longest comes first. */
  private readonly newest = new Map<string, Copy>();

  constructor(
    private readonly dirs: CodeDirs,
    private readonly intake: Intake,
    private readonly settledMs = SETTLED_MS,
  ) {}

  /**
   * Takes a copy of the current code. The caller must release it once.
   * @throws ArgyleError LAMBDA_CODE, LAMBDA_CONFIG
   */
  async take(code: string, runtime: 'python' | 'native'): Promise<SockCode> {
    const copy = this.current(code);
    copy.users++;
    const release = (): void => {
      copy.users--;
      this.clean(code, copy);
    };
    try {
      const made = await copy.made;
      const entryFile = runtime === 'native' ? 'f.bin' : (await findEntry(made.dir, made.env)).entryFile;
      return { ...made, entryFile, release };
    } catch (thrown) {
      release();
      throw thrown;
    }
  }

  /** Removes unused copies. */
  async close(): Promise<void> {
    const copies = [...this.newest];
    for (const [code, copy] of copies) this.forget(code, copy);
    await Promise.allSettled(copies.map(([, { made }]) => made));
    await this.dirs.settled();
  }

  private current(code: string): Copy {
    const stamp = stampOf(code, this.settledMs);
    const known = this.newest.get(code);
    if (stamp !== undefined && known?.stamp === stamp) return known;
    const copy: Copy = { stamp, users: 0, made: this.make(code) };
    if (stamp === undefined) return copy;
    this.newest.set(code, copy);
    if (known !== undefined) this.clean(code, known);
    copy.made.then(
      () => {
        // The source changed during the copy, so the copied version is unknown.
        if (stampOf(code, this.settledMs) !== stamp) this.forget(code, copy);
      },
      () => {
        this.forget(code, copy);
      },
    );
    return copy;
  }

  private async make(code: string): Promise<Omit<SockCode, 'entryFile' | 'release'>> {
    const { dir, codeName } = await this.dirs.make('sock');
    try {
      await copyCode(code, dir, this.intake);
      return { dir, codeName, env: await resolveEnv(dir, {}) };
    } catch (thrown) {
      await this.dirs.remove(dir);
      throw thrown;
    }
  }

  private forget(code: string, copy: Copy): void {
    if (this.newest.get(code) === copy) this.newest.delete(code);
    this.clean(code, copy);
  }

  /** Removes an unused copy, unless it is kept for later sandboxes. */
  private clean(code: string, copy: Copy): void {
    if (copy.users > 0) return;
    if (this.newest.get(code) !== copy) {
      copy.made.then(
        ({ dir }) => this.dirs.remove(dir),
        () => undefined,
      );
      return;
    }
    this.newest.delete(code);
    this.newest.set(code, copy);
    const idle = [...this.newest].filter(([, { users }]) => users === 0);
    for (const [path, oldest] of idle.slice(0, Math.max(0, idle.length - KEPT))) this.forget(path, oldest);
  }
}
