/**
 * `ol boss …`: runs the original's boss. The boss runs `./ol worker …` from its own folder. This `ol` must be in that
 * folder, and the original's executable beside it as `ol-boss` (or named by OL_BOSS).
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { CliError, EXIT, type Command } from './command';

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The executable of the boss: OL_BOSS, else `ol-boss` in the working directory or on PATH. */
export function findBoss(cwd: string, env: NodeJS.ProcessEnv): string | undefined {
  const named = env['OL_BOSS'] ?? '';
  const dirs = [cwd, ...(env['PATH'] ?? '').split(delimiter).filter((dir) => dir !== '')];
  const places = named === '' ? dirs.map((dir) => join(dir, 'ol-boss')) : [resolve(cwd, named)];
  return places.find(executable);
}

/** Signals that `ol boss` forwards to the boss. The boss then stops its workers. */
const FORWARDED: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Runs the boss in place of this process. @returns the exit code; 1 when a signal ended the boss */
function runInPlace(program: string, args: string[], cwd: string, env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { cwd, env, stdio: 'inherit' });
    const forward = (signal: NodeJS.Signals): void => {
      // POLICY: the terminal sends Ctrl-C to the boss, too. A second SIGINT could cut its shutdown short.
      if (signal === 'SIGINT' && process.stdin.isTTY) return;
      child.kill(signal);
    };
    for (const signal of FORWARDED) process.on(signal, forward);
    const settle = () => {
      for (const signal of FORWARDED) process.off(signal, forward);
    };
    child.once('error', (error) => {
      settle();
      fail(error);
    });
    child.once('exit', (code) => {
      settle();
      done(code ?? 1);
    });
  });
}

/** Words that ask for help. The help is printed even when the boss is not installed. */
const HELP = new Set(['-h', '--help', 'help']);
const USAGE = `NAME:
   ol boss - run the original's boss

USAGE:
   ol boss [--options value, -o value] [--detach, -d]

The boss is the original's executable: put it beside ol as ol-boss, or name it in OL_BOSS.
`;

export const bossCommand: Command = {
  name: 'boss',
  usage: "run the original's boss (executable ol-boss, or named by OL_BOSS)",
  argsUsage: '…',
  passthrough: true,
  run: ({ args, cwd, env, out }) => {
    const program = findBoss(cwd, env);
    if (program === undefined) {
      if (args.some((arg) => HELP.has(arg))) {
        out(USAGE);
        return Promise.resolve(EXIT.ok);
      }
      throw new CliError("no boss found: put the original's executable beside ol as ol-boss, or name it in OL_BOSS");
    }
    return runInPlace(program, ['boss', ...args], cwd, env);
  },
};
