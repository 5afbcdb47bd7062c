/**
 * A small file system that can be filled up: a tmpfs in a separate mount namespace, which ends with its holder process.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface SmallDisk {
  /** Absolute path. Every process of the same user can reach it, unless the process changes its root. */
  dir: string;
  /** Uses up all free space. */
  fill(): void;
  /** Releases the space of fill(). */
  free(): void;
  close(): Promise<void>;
}

/** Needs root. @param mb size, MB */
export async function smallDisk(mb: number): Promise<SmallDisk> {
  const script = `mount -t tmpfs -o size=${mb}m,mode=755 small /mnt && echo ready && exec sleep 600`;
  const holder = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const first = await Promise.race([once(holder.stdout, 'data'), once(holder, 'exit').then(() => ['ended'])]);
  if (!String(first[0]).startsWith('ready')) throw new Error('a tmpfs could not be mounted');
  // unshare executes sh, and sh executes sleep. All have the pid of the child, so this pid is in the namespace.
  const dir = `/proc/${String(holder.pid)}/root/mnt`;
  const filler = join(dir, 'filler');
  return {
    dir,
    fill: () => {
      for (let bytes = 1 << 20; bytes >= 4096; bytes /= 2) {
        for (;;) {
          try {
            writeFileSync(filler, Buffer.alloc(bytes), { flag: 'a' });
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
            break;
          }
        }
      }
    },
    free: () => {
      rmSync(filler, { force: true });
    },
    close: async () => {
      const ended = once(holder, 'exit');
      holder.kill('SIGKILL');
      await ended;
    },
  };
}
