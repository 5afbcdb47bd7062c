/**
 * The process that runs in a worker directory. `worker.pid` is the contract's file. `worker.start` beside it contains
 * the start time of that process, so that a later process with the same pid is not taken for the worker.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askSocket } from './own-socket';

export type WorkerState =
  { kind: 'Uninitialized' } | { kind: 'StoppedClean' } | { kind: 'StoppedDirty' } | { kind: 'Running'; pid: number };

const pidPath = (workerDir: string) => join(workerDir, 'worker.pid');
const startPath = (workerDir: string) => join(workerDir, 'worker.start');

/** Time limit of the response to /pid, ms. */
const PING_MS = 1000;

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/**
 * Boot id and start time of a process. Together with the pid they are unique on a machine. Undefined when the process
 * has ended; a zombie has ended. Field 22 of /proc/PID/stat counts clock ticks since boot. The name in front of it may
 * contain any characters.
 */
export function startOf(pid: number, proc = '/proc'): string | undefined {
  const stat = readText(join(proc, String(pid), 'stat'));
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields === undefined || fields[0] === 'Z' || fields[0] === 'X' || fields[19] === undefined) return undefined;
  const boot = readText(join(proc, 'sys/kernel/random/boot_id'))?.trim() ?? '';
  return `${boot} ${fields[19]}`;
}

/** Claims the directory for this process. @throws EEXIST when there is a pid file */
export function writePidFile(workerDir: string, pid = process.pid): void {
  writeFileSync(pidPath(workerDir), String(pid), { flag: 'wx' });
  writeFileSync(startPath(workerDir), startOf(pid) ?? '');
}

/** Claims a directory from its running worker. The directory has a valid pid file at every moment. */
export function replacePidFile(workerDir: string, pid = process.pid): void {
  const draft = `${pidPath(workerDir)}.new`;
  writeFileSync(draft, String(pid));
  // Without worker.start, workerState() asks the socket or reads the command line. Both ways recognize the old worker
  // and the new worker.
  rmSync(startPath(workerDir), { force: true });
  renameSync(draft, pidPath(workerDir));
  writeFileSync(startPath(workerDir), startOf(pid) ?? '');
}

/** Whether the pid file names this process. */
export function ownsPidFile(workerDir: string, pid = process.pid): boolean {
  return readText(pidPath(workerDir)) === String(pid);
}

export function removePidFile(workerDir: string): void {
  rmSync(pidPath(workerDir), { force: true });
  rmSync(startPath(workerDir), { force: true });
}

/** The response to `GET /pid` on the worker's unix socket; undefined without a response within 1 s. */
export async function askPid(workerDir: string): Promise<number | undefined> {
  const answer = await askSocket(workerDir, { method: 'GET', path: '/pid', timeoutMs: PING_MS });
  return answer !== undefined && /^\d+\n?$/.test(answer.body) ? Number(answer.body) : undefined;
}

/** The original writes no worker.start. If its socket does not answer, its command line identifies it. */
function looksLikeWorker(pid: number): boolean {
  const args = readText(`/proc/${pid}/cmdline`)?.split('\0') ?? [];
  const at = args.indexOf('worker');
  return at >= 0 && args.slice(at).includes('up');
}

/** The state of the worker in directory `workerDir` (config.worker_dir). */
export async function workerState(workerDir: string): Promise<WorkerState> {
  if (!existsSync(workerDir)) return { kind: 'Uninitialized' };
  const text = readText(pidPath(workerDir));
  if (text === undefined) return { kind: 'StoppedClean' };
  const pid = /^\d+$/.test(text.trim()) ? Number(text) : 0;
  const start = pid > 1 ? startOf(pid) : undefined;
  if (start === undefined) return { kind: 'StoppedDirty' };
  const recorded = readText(startPath(workerDir));
  const ours = recorded === undefined ? (await askPid(workerDir)) === pid || looksLikeWorker(pid) : recorded === start;
  return ours ? { kind: 'Running', pid } : { kind: 'StoppedDirty' };
}

/** Waits for the end of the process. Resolves with false after `timeoutMs`. */
export async function waitForEnd(pid: number, start: string | undefined, timeoutMs: number): Promise<boolean> {
  const end = Date.now() + timeoutMs;
  while (startOf(pid) === start && start !== undefined) {
    if (Date.now() > end) return false;
    await sleep(50);
  }
  return true;
}
