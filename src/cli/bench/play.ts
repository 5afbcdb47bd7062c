/** `ol bench play`: calls the functions in a trace file, one name per line, in order and repeatedly. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { PATH_FLAG } from '../worker/flags';
import { secondsOf, SECONDS_FLAG, tasksFlag, tasksOf } from './config';
import { measured, readyWorker } from './run';
import { traceCalls } from './table';

/** Largest share of failed requests in a valid run of a trace, in percent. */
const MAX_ERRORS_PERCENT = 5;
const USUAL_TASKS = 1;

function readTrace(cwd: string, name: string): string[] {
  if (name === '') throw new CliError('--trace is missing: name a text file with the name of one function a line');
  const path = resolve(cwd, name);
  let calls: string[];
  try {
    calls = traceCalls(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new CliError(`--trace: cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  if (calls.length === 0) throw new CliError(`--trace: ${path} names no function`);
  return calls;
}

async function run(context: CommandContext): Promise<number> {
  const { flags, args, cwd, out } = context;
  if (args.length > 0) throw new CliError(`ol bench play takes no arguments, found ${args.join(' ')}`);
  const calls = readTrace(cwd, flags.string('trace'));
  const seconds = secondsOf(flags);
  const tasks = tasksOf(flags, USUAL_TASKS);
  const url = await readyWorker(context);
  let next = 0;
  const choose = (): string => calls[next++ % calls.length] ?? '';
  out(`${await measured('play', MAX_ERRORS_PERCENT, { url, tasks, seconds, choose, out })}\n`);
  return EXIT.ok;
}

export const playCommand: Command = {
  name: 'play',
  usage: 'call the functions that a text file names, one a line',
  flags: [
    PATH_FLAG,
    { name: 'trace', aliases: ['f'], kind: 'string', usage: 'text file with the name of one function a line' },
    SECONDS_FLAG,
    tasksFlag(USUAL_TASKS),
  ],
  run,
};
