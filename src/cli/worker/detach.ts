/** `ol worker up -d`: starts the worker as a process of its own and waits until it answers. */
import { spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../config';
import { CliError, EXIT, type CommandContext } from '../command';
import { askPid } from './pidfile';

/** How often and how many times the worker is asked whether it is ready, from the contract. */
const POLL_MS = 100;
const POLLS = 300;

export interface DetachOptions extends Pick<CommandContext, 'self' | 'cwd' | 'out'> {
  olDir: string;
  config: Config;
  /** As given with -o. */
  options: string;
}

/** Resolves with 0 once the new worker answers on its socket with its own pid, which it does after binding its port. */
export async function startDetached({ self, cwd, out, olDir, config, options }: DetachOptions): Promise<number> {
  const [program, ...script] = self;
  if (program === undefined) throw new CliError('the program that runs is unknown');
  const logFile = join(olDir, 'worker.out');
  // For appending, so that the worker may empty the file while it writes to it.
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
  out(`  PID: ${pid}\n  Port: ${config.worker_port}\n  Log File: ${logFile}\n`);
  for (let i = 0; i < POLLS; i++) {
    await sleep(POLL_MS);
    if (ended !== undefined) {
      throw new CliError(`worker process ${pid} does not appear to be running; check worker.out`);
    }
    const answered = await askPid(config.worker_dir);
    if (answered === undefined) continue;
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
