/** `ol worker up -d`: starts the worker as a separate process and waits until it answers. */
import { spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../../config';
import { CliError, EXIT, type CommandContext } from '../../command';
import { askPid } from './pidfile';

/** Poll interval (ms) and number of polls of the worker's readiness, from the contract. */
const POLL_MS = 100;
const POLLS = 300;

export interface DetachOptions extends Pick<CommandContext, 'self' | 'cwd' | 'out'> {
  olDir: string;
  config: Config;
  /** The value of -o. */
  options: string;
  /** Pid of the running worker that the new one takes over from. The old worker answers until the takeover. */
  old?: number | undefined;
}

/**
 * Resolves with 0 when the new worker answers on its socket with its own pid. The worker binds its port before that.
 */
export async function startDetached({ self, cwd, out, olDir, config, options, old }: DetachOptions): Promise<number> {
  const [program, ...script] = self;
  if (program === undefined) throw new CliError('the program that runs is unknown');
  const logFile = join(olDir, 'worker.out');
  // Append mode, so that the worker may truncate the file while it writes to it.
  const log = openSync(logFile, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND, 0o644);
  const args = [...script, 'worker', 'up', '-p', olDir, ...(options === '' ? [] : ['-o', options])];
  const child = spawn(program, args, { cwd, detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  let ended: string | undefined;
  child.once('error', (error) => (ended = error.message));
  child.once('exit', () => (ended = 'exited'));
  const pid = child.pid;
  if (pid === undefined) throw new CliError(`could not start ${program}`);

  out(`Starting worker in ${olDir} and waiting until it's ready.\n`);
  out(`\tPID: ${pid}\n\tPort: ${config.worker_port}\n\tLog File: ${logFile}\n`);
  for (let i = 0; i < POLLS; i++) {
    await sleep(POLL_MS);
    if (ended !== undefined) {
      throw new CliError(`worker process ${pid} does not appear to be running; check worker.out`);
    }
    const answered = await askPid(config.worker_dir);
    if (answered === undefined || answered === old) continue;
    if (answered !== pid) throw new CliError(`expected PID ${pid} but found ${answered} (another worker started?)`);
    out('Ready!\n');
    child.unref();
    return EXIT.ok;
  }
  child.kill('SIGTERM');
  throw new CliError(
    `worker process ${pid} did not become ready within ${(POLL_MS * POLLS) / 1000} s; check worker.out`,
  );
}
