/** Runs pip in a sandbox of the install pool. Each run uses a fresh slot, which is destroyed before run() returns. */
import { z } from 'zod';
import type { HelperClient } from '../helper/client';
import { HelperError } from '../helper/errors';
import { Area, Code, Pool } from '../helper/protocol';
import { ArgyleError } from '../errors';
import { names } from './answer/boot-report';
import { askGuest } from './boot';
import { Lease } from './lease';
import type { MemoryPool } from './memory/memory-pool';
import type { Slot } from './slot/slot';
import type { SlotPool } from './slot/slot-pool';
import type { InstallResult, InstallerBoot, InstallerSandbox, SandboxLimits } from './types';

export interface InstallerOptions {
  slots: SlotPool;
  pool: MemoryPool;
  helper: () => Promise<HelperClient>;
  /** installer_limits. */
  limits: SandboxLimits;
  /** installer_limits.runtime_sec in ms; 0 means no limit. */
  timeoutMs: number;
}

/** POLICY: limit for the names in one list of an answer; far more than an honest package has. */
const MAX_NAMES = 4096;
/** Limit for pip's output, in characters; the last part is kept. The guest sends 8 KiB. */
const MAX_OUTPUT = 16 * 1024;

/**
 * Limit for an answer, in bytes. A lock file of 1,000 packages with their hashes takes 3 MiB
 * (guest/install/installer.py).
 */
export const ANSWER_BYTES = 4 * 1024 * 1024;

const answerShape = z.object({
  ok: z.boolean(),
  code: z.number(),
  deps: z.array(z.unknown()).transform((list) => names(list, MAX_NAMES)),
  top_level: z.array(z.unknown()).transform((list) => names(list, MAX_NAMES)),
  output: z.string().transform((text) => text.slice(-MAX_OUTPUT)),
  text: z.string().optional(),
});

/** Validates an installer's answer, which is untrusted. @throws ArgyleError SANDBOX_CREATE */
export function parseInstallResult(what: string, answer: unknown): InstallResult {
  const parsed = answerShape.safeParse(answer);
  if (parsed.success) return parsed.data;
  throw new ArgyleError('SANDBOX_CREATE', `${what}: malformed answer: ${parsed.error.issues[0]?.path.join('.') ?? ''}`);
}

export class InstallerRunner implements InstallerSandbox {
  constructor(private readonly options: InstallerOptions) {}

  async run(boot: InstallerBoot, stagingName: string, options: { signal?: AbortSignal } = {}): Promise<InstallResult> {
    const { slots, pool, limits, timeoutMs } = this.options;
    const what = `installing ${boot.spec}`;
    const lease = new Lease(await pool.acquire(limits.memMb, 'installer'));
    let slot: Slot;
    let answered: unknown;
    try {
      slot = lease.hold(await slots.make(Pool.INSTALL, limits));
      slot.log.origin.source = `pip ${boot.spec}`;
      const answer = askGuest(slot, boot, { timeoutMs, signal: options.signal, what, maxBytes: ANSWER_BYTES });
      // A failed spawn also ends the wait for an answer, because free() closes the socket.
      [, answered] = await Promise.all([slot.install(stagingName), answer]);
    } finally {
      await lease.free('the installation has ended');
    }
    // Readers of the staging directory require that no process can write to the directory any more.
    if (!slot.isEmptied) throw new ArgyleError('SANDBOX_CREATE', `${what}: its processes were not seen to end`);
    return parseInstallResult(what, answered);
  }

  async removeTree(name: string): Promise<void> {
    const client = await this.options.helper();
    try {
      await client.request('REMOVE', { arg: [Area.PACKAGES], name: [name] });
    } catch (error) {
      if (!(error instanceof HelperError && error.agCode === Code.NOENT)) throw error;
    }
  }
}
