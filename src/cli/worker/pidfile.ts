/**
 * Who runs in a worker directory. `worker.pid` is the contract's file; `worker.start` beside it says when that process
 * started, so that another process that got the same pid later is never taken for the worker.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export type WorkerState =
  { kind: 'Uninitialized' } | { kind: 'StoppedClean' } | { kind: 'StoppedDirty' } | { kind: 'Running'; pid: number };

const pidPath = (workerDir: string) => join(workerDir, 'worker.pid');
const startPath = (workerDir: string) => join(workerDir, 'worker.start');

/** How long a worker may take to answer /pid, in ms. */
const PING_MS = 1000;

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/**
 * Boot and start time of a process: no two processes of a machine share pid and this. Undefined when it has ended
 * (a zombie has). Field 22 of /proc/PID/stat counts clock ticks since boot; the name before it may hold anything.
 */
export function startOf(pid: number, proc = '/proc'): string | undefined {
  const stat = readText(join(proc, String(pid), 'stat'));
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields === undefined || fields[0] === 'Z' || fields[0] === 'X' || fields[19] === undefined) return undefined;
  const boot = readText(join(proc, 'sys/kernel/random/boot_id'))?.trim() ?? '';
  return `${boot} ${fields[19]}`;
}

/** Claims the directory for this process. Throws EEXIST when a pid file is there already. */
export function writePidFile(workerDir: string, pid = process.pid): void {
  writeFileSync(pidPath(workerDir), String(pid), { flag: 'wx' });
  writeFileSync(startPath(workerDir), startOf(pid) ?? '');
}

export function removePidFile(workerDir: string): void {
  rmSync(pidPath(workerDir), { force: true });
  rmSync(startPath(workerDir), { force: true });
}

/** What `GET /pid` on the worker's unix socket says; undefined when nobody answers within a second. */
export function askPid(workerDir: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const options = { socketPath: join(workerDir, 'ol.sock'), path: '/pid', timeout: PING_MS, agent: false };
    const ask = request(options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => {
        resolve(/^\d+\n?$/.test(body) ? Number(body) : undefined);
      });
      response.on('error', () => {
        resolve(undefined);
      });
    });
    ask.on('timeout', () => ask.destroy());
    ask.on('error', () => {
      resolve(undefined);
    });
    ask.end();
  });
}

/** A worker of another make leaves no worker.start; its command line has to do while its socket does not answer. */
function looksLikeWorker(pid: number): boolean {
  const args = readText(`/proc/${pid}/cmdline`)?.split('\0') ?? [];
  const at = args.indexOf('worker');
  return at >= 0 && args.slice(at).includes('up');
}

/** The state of the worker whose directory is `workerDir` (config.worker_dir). */
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

/** Waits until the process has ended. Resolves false after `timeoutMs`. */
export async function waitForEnd(pid: number, start: string | undefined, timeoutMs: number): Promise<boolean> {
  const end = Date.now() + timeoutMs;
  while (startOf(pid) === start && start !== undefined) {
    if (Date.now() > end) return false;
    await sleep(50);
  }
  return true;
}
