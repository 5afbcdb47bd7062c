/** Brings a worker directory from any state to StoppedClean. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { examine, isObject, readJson, type Config } from '../../../config';
import { CliError } from '../../command';
import type { Services } from '../../services';
import { withOwnHelperConf } from '../helper-conf';
import { SECOND_PLACE } from '../../../config/places';
import { releaseMounts } from '../mounts';
import { drainMs, endDraining } from './takeover';
import { removePidFile, startOf, waitForEnd, workerState } from './pidfile';

/**
 * Time limit of a clean shutdown after SIGINT, from the contract, ms; a long drain is added. Also the time limit for
 * the kernel to end a killed process.
 */
const STOP_MS = 60_000;
const AFTER_DRAIN_MS = 50_000;
const KILL_MS = 5_000;

/** The files that a worker makes in its directory. Nothing else is deleted there, since worker_dir may be any path. */
const PLACE_FILES = ['code', 'scratch', 'root-sandboxes', 'admin-lambdas'];
const RUNTIME_FILES = [...PLACE_FILES, SECOND_PLACE, 'ol.sock', 'stats.json', 'dep-trace.json', 'dep-trace.json.1'];

/** Reads as many settings of DIR as possible. A worker with a broken config.json must be stoppable, too. */
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

/** Deletes the files of an earlier worker from the worker directory. Unmounts the original's mounts first. */
export async function wipeWorkerDir(workerDir: string): Promise<void> {
  await releaseMounts(workerDir);
  for (const name of RUNTIME_FILES) rmSync(join(workerDir, name), { recursive: true, force: true });
}

/** Like wipeWorkerDir(), for one place while a worker runs in the other (config/places.ts). */
export async function wipePlace(config: Pick<Config, 'worker_dir' | 'home'>): Promise<void> {
  const { worker_dir: dir, home } = config;
  for (const name of PLACE_FILES) await releaseMounts(join(dir, name));
  if (home === undefined) for (const name of PLACE_FILES) rmSync(join(dir, name), { recursive: true, force: true });
  else rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
}

async function cleanDirty(workerDir: string, config: Config | undefined, services: Services): Promise<void> {
  // Without a usable config or helper, cgroups cannot be cleaned up here. The next start cleans them up.
  if (config !== undefined) await services.cleanupLeftovers(config).catch(() => undefined);
  await wipeWorkerDir(workerDir);
  removePidFile(workerDir);
}

async function interrupt(pid: number, drainSec: number): Promise<void> {
  const stopMs = Math.max(STOP_MS, drainSec * 1000 + AFTER_DRAIN_MS);
  const start = startOf(pid);
  try {
    process.kill(pid, 'SIGINT');
  } catch (cause) {
    throw new CliError(`could not signal worker process ${pid}: it belongs to another user`, { cause });
  }
  if (await waitForEnd(pid, start, stopMs)) return;
  // POLICY: a worker that ignores SIGINT for 1 min is killed. Its helper then kills all sandboxes.
  if (startOf(pid) === start) process.kill(pid, 'SIGKILL');
  if (await waitForEnd(pid, start, KILL_MS)) return;
  throw new CliError(`worker process ${pid} did not stop within ${stopMs / 1000} s`);
}

/**
 * Stops a running worker of DIR, or cleans up after a dead one. Returns a description for the user.
 * @throws CliError when the directory has no worker or the worker cannot be stopped
 */
export async function bringToStoppedClean(olDir: string, services: Services): Promise<string> {
  const { config: own, workerDir } = lenientConfig(olDir);
  const config = own === undefined ? undefined : withOwnHelperConf(olDir, own);
  const before = await workerState(workerDir);
  if (before.kind === 'Uninitialized') {
    throw new CliError(`${workerDir} does not exist: run ol worker init first`);
  }
  if (before.kind === 'StoppedClean') return 'worker is already stopped';
  if (before.kind === 'Running') await interrupt(before.pid, config?.argyle.drain_sec ?? 0);
  // The worker that this one took over from may still be draining.
  await endDraining(workerDir, config === undefined ? 0 : drainMs(config));
  const after = await workerState(workerDir);
  if (after.kind === 'Running') {
    throw new CliError(`another worker (process ${after.pid}) started in ${workerDir}`);
  }
  if (after.kind === 'StoppedDirty') await cleanDirty(workerDir, config, services);
  return before.kind === 'Running' ? `worker process ${before.pid} has stopped` : 'cleaned up after a dead worker';
}
