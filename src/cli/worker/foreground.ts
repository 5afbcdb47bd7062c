/** Runs a worker in this process until a signal or a failure ends it. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../config';
import { createLog, isOpenAs, LogFile } from '../../log';
import { CliError, EXIT } from '../command';
import type { Services } from '../services';
import { watchFaults } from './last-resort';
import { removePidFile, writePidFile } from './pidfile';
import { wipeWorkerDir } from './stop';

/** Longest clean shutdown, in ms; `ol worker down` waits 60 s, so this ends before it. */
const SHUTDOWN_MS = 45_000;
const MB = 2 ** 20;
const STDOUT = 1;

export interface ForegroundOptions {
  olDir: string;
  config: Config;
  warnings: readonly string[];
  services: Services;
  out: (text: string) => void;
}

/** Resolves at the first SIGINT or SIGTERM; a second one, or a shutdown that hangs, ends the process at once. */
function firstSignal(): Promise<string> {
  return new Promise((resolve) => {
    let seen = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (seen) process.exit(EXIT.error);
        seen = true;
        setTimeout(() => process.exit(EXIT.error), SHUTDOWN_MS).unref();
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

/** What bounds worker.out, if stdout is that file: others are not this worker's to empty. */
function ownLogFile(olDir: string, { argyle }: Config): LogFile | undefined {
  const file = join(olDir, 'worker.out');
  if (!isOpenAs(STDOUT, file)) return undefined;
  return new LogFile({ fd: STDOUT, file, maxBytes: argyle.log_max_mb * MB, keep: argyle.log_keep });
}

/**
 * Serves until the end. Resolves with 0 after a clean shutdown, with 1 when the worker failed.
 * A forced end leaves the pid file, so that the next start knows that there is something to clean up.
 */
export async function runForeground({ olDir, config, warnings, services }: ForegroundOptions): Promise<number> {
  const workerDir = config.worker_dir;
  mkdirSync(workerDir, { recursive: true });
  claim(workerDir);
  const stop = firstSignal();
  const file = ownLogFile(olDir, config);
  const log = createLog({ trace: config.trace, ...(file === undefined ? {} : { stream: file }) });
  const faults = watchFaults(log.logger);
  let exit: number = EXIT.ok;
  let started = false;
  try {
    await wipeWorkerDir(workerDir);
    for (const dir of ['code', 'scratch']) mkdirSync(join(workerDir, dir), { mode: 0o755 });
    for (const warning of warnings) log.logger.warn(warning);
    const starting = services.startWorker(config, log);
    // What failed while it started was told by the log; the pid file stays, since something may have been left behind.
    void faults.faulted.then(() => (started ? undefined : process.exit(EXIT.error)));
    const worker = await starting;
    started = true;
    log.logger.info({ pid: process.pid, port: worker.port }, 'worker is ready');
    const reason = await Promise.race([stop, worker.failed, faults.faulted]);
    if (typeof reason !== 'string') {
      exit = EXIT.error;
      log.logger.error({ err: reason }, 'worker failed');
    } else log.logger.info(`stopping at ${reason}`);
    await worker.close();
    faults.stop();
  } finally {
    log.flush();
    await file?.close();
    rmSync(join(workerDir, 'ol.sock'), { force: true });
    removePidFile(workerDir);
  }
  log.logger.info('worker has stopped');
  return exit;
}
