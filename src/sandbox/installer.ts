/** Runs pip in a sandbox of the install pool: one fresh slot for every run, gone when it returns. */
import { z } from 'zod';
import type { HelperClient } from '../helper/client';
import { HelperError } from '../helper/errors';
import { Area, Code, Pool, Role } from '../helper/protocol';
import { ArgyleError } from '../errors';
import { names } from './answer/boot-report';
import { askGuest } from './boot';
import type { MemoryPool } from './pool';
import type { SlotPool } from './slots';
import type { InstallResult, InstallerBoot, InstallerSandbox, SandboxLimits } from './types';

export interface InstallerOptions {
  slots: SlotPool;
  pool: MemoryPool;
  helper: () => Promise<HelperClient>;
  /** installer_limits. */
  limits: SandboxLimits;
  /** installer_limits.runtime_sec in ms; 0 waits for ever. */
  timeoutMs: number;
}

/** POLICY: far above what an honest package has. */
const MAX_NAMES = 4096;
/** Characters of pip's output that are kept, of its end. The guest sends 8 KiB. */
const MAX_OUTPUT = 16 * 1024;

/** Bytes of an answer. A lock of 1,000 packages with their hashes takes 3 MiB (guest/installer.py). */
export const ANSWER_BYTES = 4 * 1024 * 1024;

const answerShape = z.object({
  ok: z.boolean(),
  code: z.number(),
  deps: z.array(z.unknown()).transform((list) => names(list, MAX_NAMES)),
  top_level: z.array(z.unknown()).transform((list) => names(list, MAX_NAMES)),
  output: z.string().transform((text) => text.slice(-MAX_OUTPUT)),
  text: z.string().optional(),
});

/** What an installer answered, checked: it is the guest's word. @throws ArgyleError SANDBOX_CREATE */
export function parseInstallResult(what: string, answer: unknown): InstallResult {
  const parsed = answerShape.safeParse(answer);
  if (parsed.success) return parsed.data;
  throw new ArgyleError('SANDBOX_CREATE', `${what}: malformed answer: ${parsed.error.issues[0]?.path.join('.') ?? ''}`);
}

export class InstallerRunner implements InstallerSandbox {
  constructor(private readonly options: InstallerOptions) {}

  async run(boot: InstallerBoot, stagingName: string, options: { signal?: AbortSignal } = {}): Promise<InstallResult> {
    const { slots, pool, limits, timeoutMs } = this.options;
    const charge = await pool.acquire(limits.memMb);
    try {
      const slot = await slots.make(Pool.INSTALL, limits);
      try {
        slot.log.source = `pip ${boot.spec}`;
        const what = `installing ${boot.spec}`;
        const answer = askGuest(slot, boot, { timeoutMs, signal: options.signal, what, maxBytes: ANSWER_BYTES });
        // A failed spawn ends the wait for an answer: destroying the slot closes its socket.
        const [, result] = await Promise.all([slot.spawn(Role.INSTALLER, '', { stagingName }), answer]);
        return parseInstallResult(what, result);
      } finally {
        await slot.destroy();
      }
    } finally {
      charge.release();
    }
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
