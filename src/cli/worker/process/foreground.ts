/** Runs a worker in this process until a signal or a failure ends it. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../../config';
import { homeOf, inPlace } from '../../../config/places';
import { createLog, isOpenAs, LogFile } from '../../../log';
import { CliError, EXIT } from '../../command';
import type { Predecessor, Services } from '../../services';
import { watchFaults } from './last-resort';
import { ownsPidFile, removePidFile, writePidFile } from './pidfile';
import { wipePlace, wipeWorkerDir } from './stop';

/** Time limit of a clean shutdown after the drain, ms. `ol worker down` waits longer. */
const SHUTDOWN_MS = 35_000;
const MB = 2 ** 20;
const STDOUT = 1;

export interface ForegroundOptions {
  olDir: string;
  config: Config;
  warnings: readonly string[];
  services: Services;
  out: (text: string) => void;
  /** The running worker whose port this worker takes over. */
  old?: Predecessor | undefined;
}

/** Resolves at the first SIGINT or SIGTERM. A second signal, or a shutdown that hangs, ends the process at once. */
function firstSignal(drainSec: number): Promise<string> {
  return new Promise((resolve) => {
    let seen = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (seen) process.exit(EXIT.error);
        seen = true;
        setTimeout(() => process.exit(EXIT.error), drainSec * 1000 + SHUTDOWN_MS).unref();
        resolve(signal);
      });
    }
  });
}

function claim(workerDir: string): void {
  try {
    writePidFile(workerDir);
  } catch (cause) {
    throw new CliError(`could not write ${join(workerDir, 'worker.pid')}: is another worker starting?`, { cause });
  }
}

/** The size limit of worker.out, if stdout is this file. The worker does not truncate any other file. */
function ownLogFile(olDir: string, { argyle }: Config): LogFile | undefined {
  const file = join(olDir, 'worker.out');
  if (!isOpenAs(STDOUT, file)) return undefined;
  return new LogFile({ fd: STDOUT, file, maxBytes: argyle.log_max_mb * MB, keep: argyle.log_keep });
}

/**
 * Serves until the worker ends. Resolves with 0 after a clean shutdown, with 1 when the worker failed. A forced end
 * leaves the pid file, so that the next start cleans up.
 */
export async function runForeground({
  olDir,
  config: own,
  warnings,
  services,
  old,
}: ForegroundOptions): Promise<number> {
  const config = inPlace(own, old?.second === false);
  const { worker_dir: workerDir } = config;
  const home = homeOf(config);
  mkdirSync(workerDir, { recursive: true });
  if (old === undefined) claim(home);
  const stop = firstSignal(config.argyle.drain_sec);
  const file = ownLogFile(olDir, config);
  const log = createLog({ trace: config.trace, ...(file === undefined ? {} : { stream: file }) });
  const faults = watchFaults(log.logger);
  let exit: number = EXIT.ok;
  let started = false;
  try {
    if (old === undefined) await wipeWorkerDir(home);
    else await wipePlace(config);
    for (const dir of ['code', 'scratch']) mkdirSync(join(workerDir, dir), { mode: 0o755 });
    for (const warning of warnings) log.logger.warn(warning);
    const starting = services.startWorker(config, log, old);
    // The log has the faults of the start. The pid file stays, since the worker may have left something behind.
    void faults.faulted.then(() => (started ? undefined : process.exit(EXIT.error)));
    const worker = await starting;
    started = true;
    log.logger.info({ pid: process.pid, port: worker.port }, 'worker is ready');
    const reason = await Promise.race([stop, worker.failed, faults.faulted, worker.succeeded]);
    if (typeof reason !== 'string') {
      exit = EXIT.error;
      log.logger.error({ err: reason }, 'worker failed');
    } else log.logger.info(`stopping at ${reason}`);
    await worker.close();
    faults.stop();
  } finally {
    log.flush();
    await file?.close();
    if (home !== workerDir) rmSync(workerDir, { recursive: true, force: true });
    // After a takeover, the file belongs to the next worker.
    if (ownsPidFile(home)) {
      rmSync(join(home, 'ol.sock'), { force: true });
      removePidFile(home);
    }
  }
  log.logger.info('worker has stopped');
  return exit;
}
