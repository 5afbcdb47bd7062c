/**
 * The requests of a new worker to the old one whose port it takes over, on ol.sock (docs/adr/0013):
 *
 * - GET /takeover?pid=P&address=A asks whether process P, with address A in its settings, may take over. Status
 * 200 reserves the takeover for P while P lives. With P = 0 nothing is reserved.
 * - POST /takeover/socket?name=N sends the listening socket to the inbox N beside ol.sock.
 * - POST /takeover/done makes the old worker stop accepting, drain its calls, and stop.
 *
 * Any status but 200 means that the old worker must be stopped first. Workers of earlier versions have no such routes.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../../config';
import { homeOf } from '../../../config/places';
import type { Predecessor } from '../../services';
import { askSocket } from './own-socket';
import { startOf, waitForEnd } from './pidfile';

const ASK_MS = 5000;
/** Time after argyle.drain_sec until a replaced worker is killed, ms. */
const AFTER_DRAIN_MS = 30_000;
const KILL_MS = 5000;

/** The response of /takeover. */
export interface Offer {
  pid: number;
  second: boolean;
}

/** The worker's listening address, as written in its settings. */
export const addressOf = ({ worker_url: host, worker_port: port }: Config): string => `${host}:${port}`;

/** Sends a request to the worker of `home`. @returns the body of a 200 response, otherwise undefined */
export async function askWorker(home: string, method: 'GET' | 'POST', path: string): Promise<string | undefined> {
  const answer = await askSocket(home, { method, path, timeoutMs: ASK_MS });
  return answer?.status === 200 ? answer.body : undefined;
}

/** Whether a takeover from the running worker is possible, and in which place it runs. @param pid 0 for a query only */
export async function offered(config: Config, pid: number): Promise<Predecessor | undefined> {
  if (config.sandbox === 'docker' || config.server_mode === 'sock') return undefined;
  const query = new URLSearchParams({ pid: String(pid), address: addressOf(config) });
  const answer = await askWorker(homeOf(config), 'GET', `/takeover?${query.toString()}`);
  try {
    const { pid: its, second } = JSON.parse(answer ?? '') as Partial<Offer>;
    return typeof its === 'number' && typeof second === 'boolean' ? { pid: its, second } : undefined;
  } catch {
    return undefined;
  }
}

const noteOf = (home: string): string => join(home, 'worker.draining');

/** Records the process that is still draining, for a later stop or takeover. */
export function noteDraining(home: string, pid: number): void {
  writeFileSync(noteOf(home), `${pid} ${startOf(pid) ?? ''}`);
}

/** Waits up to `waitMs` for the recorded process to end, then kills it. */
export async function endDraining(home: string, waitMs: number): Promise<void> {
  let note: string;
  try {
    note = readFileSync(noteOf(home), 'utf8');
  } catch {
    return;
  }
  const [pid, ...start] = note.split(' ');
  const [id, began] = [Number(pid), start.join(' ')];
  if (began !== '' && !(await waitForEnd(id, began, waitMs)) && startOf(id) === began) {
    process.kill(id, 'SIGKILL');
    await waitForEnd(id, began, KILL_MS);
  }
  rmSync(noteOf(home), { force: true });
}

/** Time that endDraining() should wait before a place is used again, ms. */
export const drainMs = (config: Config): number => config.argyle.drain_sec * 1000 + AFTER_DRAIN_MS;
