/** Runs pip in a new container, which is removed before run() returns. */
import { chown, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { ArgyleError } from '../../errors';
import { askGuest } from '../boot';
import { describeDeath } from '../death';
import { ANSWER_BYTES, parseInstallResult } from '../installer';
import { Lease } from '../lease';
import type { MemoryPool } from '../memory/memory-pool';
import type { InstallResult, InstallerBoot, InstallerSandbox, SandboxLimits } from '../types';
import { Container, type ContainerParts } from './container';
import { NOBODY } from './factory';

export interface DockerInstallerOptions {
  containerParts: ContainerParts;
  pool: MemoryPool;
  /** installer_limits. */
  limits: SandboxLimits;
  /** installer_limits.runtime_sec in ms; 0 means no limit. */
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
    const { pool, limits, containerParts, packagesDir, network, timeoutMs } = this.options;
    const what = `installing ${boot.spec}`;
    const lease = new Lease(await pool.acquire(limits.memMb, 'installer'));
    let container: Container;
    let answered: unknown;
    try {
      container = lease.hold(await Container.make(containerParts));
      container.log.origin.source = `pip ${boot.spec}`;
      const hostDir = join(packagesDir, stagingName);
      const user = await userFor(join(hostDir, 'files'));
      await container.start({ role: 'installer', limits, network, user, hostDir });
      const socket = await firstConnection(container, what, timeoutMs);
      const host = {
        exited: container.exited,
        get exit() {
          return container.exit;
        },
        connect: () => socket,
      };
      answered = await askGuest(host, boot, { timeoutMs, signal, what, maxBytes: ANSWER_BYTES });
    } finally {
      await lease.free('the installation has ended');
    }
    // Readers of the staging directory require that no process can write to the directory any more.
    if (!container.isEmptied) throw new ArgyleError('SANDBOX_CREATE', `${what}: its container was not seen to end`);
    return parseInstallResult(what, answered);
  }

  async removeTree(name: string): Promise<void> {
    await rm(join(this.options.packagesDir, name), { recursive: true, force: true });
  }
}

/**
 * Returns the user that may write to a directory of the worker.
 * POLICY: a worker that is not root cannot give files to nobody and could not remove nobody's files. pip then runs
 * under the worker's id; this directory is the only writable part of the host that pip sees.
 */
async function userFor(dir: string): Promise<{ uid: number; gid: number }> {
  const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  if (own.uid !== 0) return own;
  await chown(dir, NOBODY.uid, NOBODY.gid);
  return NOBODY;
}

async function firstConnection(container: Container, what: string, timeoutMs: number): Promise<Socket> {
  const timer = timeoutMs > 0 ? setTimeout(() => void container.destroy(), timeoutMs) : undefined;
  try {
    return await container.connect();
  } catch (cause) {
    if (container.exit === undefined) {
      throw new ArgyleError('TIMEOUT', `${what} did not start within ${timeoutMs} ms`, { cause });
    }
    throw new ArgyleError('SANDBOX_DEAD', `${what} gave no answer: ${describeDeath(container.exit)}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}
