/** Runs one step of the test driver: a command with a time limit. Its output goes to a file. */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';

/** Time that a step's processes have to end by themselves after the signal, ms. */
const GRACE_MS = 5_000;

/**
 * @param {{ command: string[], timeoutSec: number, env?: Record<string, string>, cwd: string, logFile: string }} step
 * @returns {Promise<{ status: number, output: string, timedOut: boolean }>} the status is 124 when time ran out
 */
export async function runStep({ command, timeoutSec, env = {}, cwd, logFile }) {
  const [program, ...args] = command;
  const log = createWriteStream(logFile);
  const chunks = [];
  // A separate process group, so that a time-out ends only the step's own processes.
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      chunks.push(chunk);
      log.write(chunk);
    });
  }
  let timedOut = false;
  const signalGroup = (signal) => {
    try {
      process.kill(-child.pid, signal);
    } catch {
      // The process group has ended already.
    }
  };
  let killer;
  const timer = setTimeout(() => {
    timedOut = true;
    signalGroup('SIGTERM');
    killer = setTimeout(() => signalGroup('SIGKILL'), GRACE_MS);
  }, timeoutSec * 1000);
  const stop = () => signalGroup('SIGKILL');
  process.once('exit', stop);
  const status = await new Promise((resolve) => {
    child.once('error', (error) => {
      chunks.push(Buffer.from(`${program}: ${error.message}\n`));
      resolve(127);
    });
    child.once('exit', (code, signal) => resolve(code ?? (signal === null ? 1 : 128)));
  });
  clearTimeout(timer);
  clearTimeout(killer);
  process.removeListener('exit', stop);
  // A stray grandchild may keep the pipe open. Its later output is ignored.
  await new Promise((resolve) => setTimeout(resolve, 50));
  child.stdout?.destroy();
  child.stderr?.destroy();
  log.end();
  return { status: timedOut ? 124 : status, output: Buffer.concat(chunks).toString('utf8'), timedOut };
}
