/** Runs pip in a container of its own, gone when it returns. */
import { chown, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { ArgyleError } from '../../errors';
import { askGuest } from '../boot';
import { describeDeath } from '../death';
import { ANSWER_BYTES, parseInstallResult } from '../installer';
import type { MemoryPool } from '../pool';
import type { InstallResult, InstallerBoot, InstallerSandbox, SandboxLimits } from '../types';
import { Cell, type CellParts } from './cell';
import { NOBODY } from './factory';

export interface DockerInstallerOptions {
  cells: CellParts;
  pool: MemoryPool;
  /** installer_limits. */
  limits: SandboxLimits;
  /** installer_limits.runtime_sec in ms; 0 waits for ever. */
  timeoutMs: number;
  /** config.Pkgs_dir. */
  packagesDir: string;
  /** The engine's name of a network mode. */
  network: string;
}

export class DockerInstaller implements InstallerSandbox {
  constructor(private readonly options: DockerInstallerOptions) {}

  async run(
    boot: InstallerBoot,
    stagingName: string,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<InstallResult> {
    const { pool, limits, cells, packagesDir, network, timeoutMs } = this.options;
    const charge = await pool.acquire(limits.memMb);
    try {
      const cell = await Cell.make(cells);
      try {
        cell.log.source = `pip ${boot.spec}`;
        const hostDir = join(packagesDir, stagingName);
        const user = await userFor(join(hostDir, 'files'));
        await cell.start({ role: 'installer', limits, network, user, hostDir });
        const what = `installing ${boot.spec}`;
        const socket = await firstConnection(cell, what, timeoutMs);
        const host = {
          exited: cell.exited,
          get exit() {
            return cell.exit;
          },
          connect: () => socket,
        };
        return parseInstallResult(
          what,
          await askGuest(host, boot, { timeoutMs, signal, what, maxBytes: ANSWER_BYTES }),
        );
      } finally {
        await cell.destroy();
      }
    } finally {
      charge.release();
    }
  }

  async removeTree(name: string): Promise<void> {
    await rm(join(this.options.packagesDir, name), { recursive: true, force: true });
  }
}

/**
 * Whose process may write to a directory of ours.
 * POLICY: a worker that isn't root can give files to nobody and couldn't remove nobody's, so pip runs under its own id;
 * of the host it sees the directory alone.
 */
async function userFor(dir: string): Promise<{ uid: number; gid: number }> {
  const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  if (own.uid !== 0) return own;
  await chown(dir, NOBODY.uid, NOBODY.gid);
  return NOBODY;
}

async function firstConnection(cell: Cell, what: string, timeoutMs: number): Promise<Socket> {
  const timer = timeoutMs > 0 ? setTimeout(() => void cell.destroy(), timeoutMs) : undefined;
  try {
    return await cell.connect();
  } catch (cause) {
    if (cell.exit === undefined) {
      throw new ArgyleError('TIMEOUT', `${what} did not start within ${timeoutMs} ms`, { cause });
    }
    throw new ArgyleError('SANDBOX_DEAD', `${what} gave no answer: ${describeDeath(cell.exit)}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}
