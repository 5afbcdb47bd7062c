/**
 * Finds out when a sandbox has imported its handler. The sandbox itself reports the import only with its first answer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Sandbox } from '../../../sandbox/types';

/** Interval between two readings of the sandbox's processor time, in ms. */
const LOOK_MS = 100;
/** POLICY: the import is over when the sandbox uses at most this processor time between two readings, in µs. */
const NEXT_TO_NONE_USEC = 500;
/** POLICY: longest wait for an import, in ms. */
const MOST_MS = 30_000;

/** Resolves once a sandbox without a request uses no more processor time, or has ended. Never rejects. */
export async function whenImported(sandbox: Pick<Sandbox, 'life' | 'usage'>): Promise<void> {
  let lastUsec = -Infinity;
  for (let waitedMs = 0; waitedMs < MOST_MS; waitedMs += LOOK_MS) {
    await sleep(LOOK_MS, undefined, { ref: false });
    if (!sandbox.life.isAlive) return;
    const usage = await sandbox.usage().catch(() => undefined);
    if (usage === undefined || usage.cpuUsec - lastUsec <= NEXT_TO_NONE_USEC) return;
    lastUsec = usage.cpuUsec;
  }
}
