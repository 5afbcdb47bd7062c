/** Brings a worker directory to the state StoppedClean, whatever it is in. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { examine, isObject, readJson, type Config } from '../../config';
import { CliError } from '../command';
import type { Services } from '../services';
import { withOwnHelperConf } from './helperConf';
import { releaseMounts } from './mounts';
import { removePidFile, startOf, waitForEnd, workerState } from './pidfile';

/** Time for a clean shutdown after SIGINT, from the contract; and for the kernel to end a killed process. In ms. */
const STOP_MS = 60_000;
const KILL_MS = 5_000;

/** What a worker makes in its directory. Nothing else is ever deleted there: worker_dir may be set to any path. */
const RUNTIME_FILES = [
  'ol.sock',
  'stats.json',
  'dep-trace.json',
  'dep-trace.json.1',
  'code',
  'scratch',
  'root-sandboxes',
  'admin-lambdas',
];

/** The settings of DIR as far as they can be read: a worker must be stoppable with a broken config.json, too. */
export function lenientConfig(olDir: string): { config: Config | undefined; workerDir: string; port: string } {
  const fallback = { config: undefined, workerDir: join(olDir, 'worker'), port: '5000' };
  let json: unknown;
  try {
    json = readJson(join(olDir, 'config.json'));
  } catch {
    return fallback;
  }
  const { config } = examine(json);
  if (config !== undefined) return { config, workerDir: config.worker_dir, port: config.worker_port };
  const find = (name: string) =>
    isObject(json) ? Object.entries(json).find(([key]) => key.toLowerCase() === name)?.[1] : undefined;
  const [dir, port] = [find('worker_dir'), find('worker_port')];
  return {
    config: undefined,
    workerDir: typeof dir === 'string' && dir.startsWith('/') ? dir : fallback.workerDir,
    port: typeof port === 'string' ? port : fallback.port,
  };
}

/** Empties the worker directory of what an earlier worker left in it, unmounting first what the original mounts. */
export async function wipeWorkerDir(workerDir: string): Promise<void> {
  await releaseMounts(workerDir);
  for (const name of RUNTIME_FILES) rmSync(join(workerDir, name), { recursive: true, force: true });
}

async function cleanDirty(workerDir: string, config: Config | undefined, services: Services): Promise<void> {
  // Without a usable config or helper nothing can be done about cgroups here, and the next start does it, too.
  if (config !== undefined) await services.cleanupLeftovers(config).catch(() => undefined);
  await wipeWorkerDir(workerDir);
  removePidFile(workerDir);
}

async function interrupt(pid: number): Promise<void> {
  const start = startOf(pid);
  try {
    process.kill(pid, 'SIGINT');
  } catch (cause) {
    throw new CliError(`could not signal worker process ${pid}: it belongs to another user`, { cause });
  }
  if (await waitForEnd(pid, start, STOP_MS)) return;
  // POLICY: a worker that ignores SIGINT for a minute is killed; its helper then takes every sandbox with it.
  if (startOf(pid) === start) process.kill(pid, 'SIGKILL');
  if (await waitForEnd(pid, start, KILL_MS)) return;
  throw new CliError(`worker process ${pid} did not stop within ${STOP_MS / 1000} s`);
}

/**
 * Stops a running worker of DIR and cleans up behind a dead one. Returns what it did, for people.
 * Throws CliError when the directory has no worker or the worker can't be stopped.
 */
export async function bringToStoppedClean(olDir: string, services: Services): Promise<string> {
  const { config: own, workerDir } = lenientConfig(olDir);
  const config = own === undefined ? undefined : withOwnHelperConf(olDir, own);
  const before = await workerState(workerDir);
  if (before.kind === 'Uninitialized') {
    throw new CliError(`${workerDir} does not exist: run ol worker init first`);
  }
  if (before.kind === 'StoppedClean') return 'worker is already stopped';
  if (before.kind === 'Running') await interrupt(before.pid);
  const after = await workerState(workerDir);
  if (after.kind === 'Running') {
    throw new CliError(`another worker (process ${after.pid}) started in ${workerDir}`);
  }
  if (after.kind === 'StoppedDirty') await cleanDirty(workerDir, config, services);
  return before.kind === 'Running' ? `worker process ${before.pid} has stopped` : 'cleaned up after a dead worker';
}
