/** A small file system that really fills up: a tmpfs in a mount namespace of its own, which ends with its holder. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface SmallDisk {
  /** Absolute, and reachable by every process of the same user that does not change its root. */
  dir: string;
  /** Takes all that is free. */
  fill(): void;
  /** Gives it back. */
  free(): void;
  close(): Promise<void>;
}

/** Needs root. @param mb its size */
export async function smallDisk(mb: number): Promise<SmallDisk> {
  const script = `mount -t tmpfs -o size=${mb}m,mode=755 small /mnt && echo ready && exec sleep 600`;
  const holder = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const first = await Promise.race([once(holder.stdout, 'data'), once(holder, 'exit').then(() => ['ended'])]);
  if (!String(first[0]).startsWith('ready')) throw new Error('a tmpfs could not be mounted');
  // unshare and sh become the holder by exec, so the number is that of a process in the namespace.
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
