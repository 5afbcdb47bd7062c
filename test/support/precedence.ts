/**
 * Gives a worker and its clients precedence over the machine's other programs, so that these do not affect a
 * measurement.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { E2eWorker } from './spawned-worker';

/**
 * Nice value of the sessions (sched_autogroup). The scheduler's weight for this value is 28 times the default weight.
 */
const NICE = '-15';
/** The same factor for the weight of the sandboxes' cgroup, as values of v1 and v2. */
const WEIGHTS = { 'cpu.shares': '28672', 'cpu.weight': '2800' };

/**
 * Raises the priorities. If the kernel has neither mechanism, there is no precedence, and other load affects the
 * measurement.
 */
export function precede(worker: E2eWorker): void {
  for (const pid of [process.pid, worker.pid(), worker.helperPid()]) set(`/proc/${pid}/autogroup`, NICE);
  for (const dir of worker.cgroups()) {
    for (const [file, weight] of Object.entries(WEIGHTS)) set(join(dir, file), weight);
  }
}

function set(file: string, text: string): void {
  try {
    if (existsSync(file)) writeFileSync(file, text);
  } catch {
    // The kernel limits how often, and by which users, a session's value may be changed.
  }
}
