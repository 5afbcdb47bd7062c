/** Reports changes of a folder. Ignores files that its archive excludes. */
import { lstatSync, readdirSync, watch, type FSWatcher } from 'node:fs';
import { join } from 'node:path';
import { ignoredIn } from '../admin/ignored';

/**
 * Debounce time, ms. Editors write a file in several steps, so a change counts after this time without further changes.
 */
const QUIET_MS = 100;
/** Poll interval for folders that cannot be watched, ms. */
const POLL_MS = 1000;

export interface Tree {
  /** Absolute paths of the folder's directories. */
  dirs: string[];
  /** A fingerprint of all files. It stays equal while no file changes. */
  stamp: string;
}

/** The files that an upload of the folder would contain now. */
export function treeOf(top: string): Tree {
  const ignored = ignoredIn(top);
  const dirs: string[] = [];
  const parts: string[] = [];
  const look = (dir: string, shown: string): void => {
    dirs.push(dir);
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      const name = join(shown, entry.name);
      // .olignore is in no archive, but a change of it changes the archive.
      if (name !== '.olignore' && ignored(name, entry.isDirectory())) continue;
      const path = join(dir, entry.name);
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat === undefined) continue;
      parts.push(
        name,
        String(stat.ino),
        String(stat.mode),
        ...(stat.isDirectory() ? [] : [`${stat.size} ${stat.mtimeMs}`]),
      );
      if (stat.isDirectory()) look(path, name);
    }
  };
  look(top, '');
  return { dirs, stamp: parts.join('\0') };
}

export interface WatchOptions {
  onChange: () => void;
  /** Called once, with the reason, when the folder can only be polled. */
  onPoll: (reason: string) => void;
}

/** Watches each directory of a folder separately, so that .venv and other excluded directories cost nothing. */
export class FolderWatch {
  private readonly watchers = new Map<string, FSWatcher>();
  private timer: NodeJS.Timeout | undefined;
  private poll: NodeJS.Timeout | undefined;
  private stamp = '';

  constructor(
    private readonly dir: string,
    private readonly options: WatchOptions,
  ) {
    this.look();
  }

  close(): void {
    clearTimeout(this.timer);
    clearInterval(this.poll);
    for (const watcher of this.watchers.values()) watcher.close();
    this.watchers.clear();
  }

  /** Watches the current directories. @returns whether a file has changed since the last call */
  private look(): boolean {
    let tree: Tree;
    try {
      tree = treeOf(this.dir);
    } catch {
      return false; // a directory vanished during the scan: another event follows
    }
    const dirs = new Set(tree.dirs);
    for (const [dir, watcher] of this.watchers) {
      if (dirs.has(dir)) continue;
      watcher.close();
      this.watchers.delete(dir);
    }
    for (const dir of dirs) this.watchDir(dir);
    const differs = tree.stamp !== this.stamp;
    this.stamp = tree.stamp;
    return differs;
  }

  private watchDir(dir: string): void {
    if (this.watchers.has(dir) || this.poll !== undefined) return;
    try {
      const watcher = watch(dir, () => {
        this.touched();
      });
      watcher.on('error', () => {
        watcher.close();
        this.watchers.delete(dir);
        this.touched();
      });
      this.watchers.set(dir, watcher);
    } catch (thrown) {
      const { code, message } = thrown as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      this.poll = setInterval(() => {
        this.touched();
      }, POLL_MS);
      this.options.onPoll(message);
    }
  }

  private touched(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.look()) this.options.onChange();
    }, QUIET_MS);
  }
}
