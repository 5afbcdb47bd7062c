/** Ends the turn of a start that has not answered and no longer needs a processor. */
import { readFile } from 'node:fs/promises';
import type { Sandbox } from '../../sandbox/types';
import { HELD_MORE_MS, HELD_TIMES, type StartQueue, type Turn } from './queue';

/** Interval between two readings of the CPU time, in ms; the CPU time is read only while other starts wait. */
const LOOK_MS = 20;
/**
 * POLICY: a sandbox counts as idle when it used less than NEXT_TO_NONE_MS of CPU time within IDLE_MS, both in ms, and
 * waits for no processor.
 */
const IDLE_MS = 60;
const NEXT_TO_NONE_MS = 0.5;

/**
 * Watches a sandbox from the expected end of its imports. Ends the turn when the sandbox is idle or gone, or has used
 * far more CPU time than expected. An endless import must not block other starts.
 */
export function leaveWhenIdle(sandbox: Sandbox, turn: Turn, starts: Pick<StartQueue, 'waiting'>): void {
  let last: { atMs: number; cpuMs: number } | undefined;
  const again = (ms: number): void => {
    setTimeout(() => void look(), ms).unref();
  };
  const isOver = async (): Promise<boolean> => {
    const usage = await sandbox.usage().catch(() => undefined);
    if (usage === undefined) return true;
    const now = { atMs: performance.now(), cpuMs: usage.cpuUsec / 1000 };
    if (now.cpuMs > HELD_TIMES * turn.expectedMs + HELD_MORE_MS) return true;
    if (last === undefined || now.cpuMs - last.cpuMs > NEXT_TO_NONE_MS) last = now;
    return now.atMs - last.atMs >= IDLE_MS && (await isAsleep(sandbox.pid));
  };
  const look = async (): Promise<void> => {
    if (turn.isLeft) return;
    if (!sandbox.life.isAlive || (starts.waiting > 0 && (await isOver()))) turn.leave();
    else again(LOOK_MS);
  };
  again(Math.max(LOOK_MS, turn.expectedMs - IDLE_MS));
}

/**
 * Whether a process sleeps, and waits for neither a processor nor a disk (states R and D); true when the state is
 * unknown.
 */
async function isAsleep(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return !/^[RD]/.test(stat.slice(stat.lastIndexOf(')') + 2));
}
