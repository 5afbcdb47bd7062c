/**
 * `ol bench py64-seq` and the other benchmarks: calls functions of a running worker for a fixed time and prints the
 * throughput.
 */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { Progress, withProgress } from '../progress';
import { urlOf } from '../url';
import { olDirOf, PATH_FLAG } from '../worker/flags';
import { describeStatus } from '../worker/status';
import { benchConfig, secondsOf, SECONDS_FLAG, tasksFlag, tasksOf } from './config';
import { putLoad } from './load';
import { functionName, resultLine, tooManyErrors, type Benchmark, type Tally } from './table';

const PROGRESS_MS = 1000;
/** Largest share of failed requests in a valid benchmark run, in percent. */
const MAX_ERRORS_PERCENT = 1;

/** Calls each function once, so that the measurement contains no code pulls and no package installs. */
async function warmUp(benchmark: Benchmark, tasks: number, url: string, out: (text: string) => void): Promise<void> {
  const { kind, functions } = benchmark;
  out(`warming up: calling each of ${functions} functions once\n`);
  let index = 0;
  let failure: string | undefined;
  await withProgress((progress) => {
    progress.step('warming up', functions);
    return putLoad({
      url,
      tasks,
      onDone: () => {
        progress.at(index);
      },
      next: () => (index < functions && failure === undefined ? functionName(kind, index++) : undefined),
      onError: (message) => (failure ??= message),
    });
  });
  if (failure !== undefined) throw new CliError(`warming up failed: ${failure} (was ol bench init run?)`);
}

export interface MeasureOptions {
  /** `http://host:port` */
  url: string;
  tasks: number;
  seconds: number;
  /** Returns the function to call next. */
  choose: () => string;
  out: (text: string) => void;
}

/** Puts load on a worker for a fixed time and prints the throughput once per second. */
async function measure({
  url,
  tasks,
  seconds,
  choose,
  out,
}: MeasureOptions): Promise<Tally & { seconds: number; failure: string | undefined }> {
  const startMs = performance.now();
  const elapsed = () => (performance.now() - startMs) / 1000;
  let done = 0;
  let shown = 0;
  let failure: string | undefined;
  const line = new Progress();
  line.step('measuring', seconds);
  const print = line.around(out);
  const progress = setInterval(() => {
    line.at(Math.floor(elapsed()));
    print(`throughput: ${(done - shown).toFixed(1)}/second\n`);
    shown = done;
  }, PROGRESS_MS);
  const tally = await putLoad({
    url,
    tasks,
    next: () => (elapsed() < seconds ? choose() : undefined),
    onError: (message) => (failure ??= message),
    onDone: () => done++,
  });
  clearInterval(progress);
  line.end();
  return { ...tally, seconds: elapsed(), failure };
}

/**
 * Measures and returns the result line.
 * @param maxErrorsPercent above this share of errors, the benchmark exits as after a panic in Go
 * @throws CliError when too many requests failed
 */
export async function measured(name: string, maxErrorsPercent: number, options: MeasureOptions): Promise<string> {
  const result = await measure(options);
  const { successes, errors, failure } = result;
  if (tooManyErrors(result, maxErrorsPercent)) {
    const share = `${errors}/${successes + errors}`;
    throw new CliError(`>${maxErrorsPercent}% of requests failed (${share}), the first: ${failure ?? ''}`, {
      exitCode: EXIT.panic,
    });
  }
  return resultLine(name, result.seconds, result);
}

/** The URL of the worker in the directory of -p. @throws CliError when the worker is not ready */
export async function readyWorker({ flags, cwd }: CommandContext): Promise<string> {
  const config = benchConfig(olDirOf(cwd, flags.string('path')));
  const url = urlOf(config.worker_url, config.worker_port);
  const { ok, line } = await describeStatus(`${url}/status`);
  if (!ok) throw new CliError(`the worker is not ready: ${line.trim()}`);
  return url;
}

async function run(benchmark: Benchmark, context: CommandContext): Promise<number> {
  const { flags, args, cwd, out } = context;
  const { name, kind, functions } = benchmark;
  if (args.length > 0) throw new CliError(`ol bench ${name} takes no arguments, found ${args.join(' ')}`);
  const seconds = secondsOf(flags);
  const tasks = tasksOf(flags, benchmark.tasks);
  const url = await readyWorker(context);

  if (flags.bool('warmup')) await warmUp(benchmark, tasks, url, out);
  const choose = (): string => functionName(kind, Math.floor(Math.random() * functions));
  const line = await measured(name, MAX_ERRORS_PERCENT, { url, tasks, seconds, choose, out });
  if (flags.string('output') !== '') writeFileSync(resolve(cwd, flags.string('output')), line);
  out(`${line}\n`);
  return EXIT.ok;
}

/** The command of one benchmark. */
export function benchmarkCommand(benchmark: Benchmark): Command {
  const { name, alias, kind, functions, tasks } = benchmark;
  const what = kind === 'pd' ? 'functions with pandas' : 'small functions';
  return {
    name,
    ...(alias === undefined ? {} : { aliases: [alias] }),
    usage: `call ${functions} ${what}, ${tasks === 1 ? 'one request at a time' : `${tasks} requests at a time`}`,
    flags: [
      PATH_FLAG,
      SECONDS_FLAG,
      tasksFlag(tasks),
      { name: 'warmup', aliases: ['w'], kind: 'bool', value: 'true', usage: 'call each function once beforehand' },
      { name: 'output', aliases: ['o'], kind: 'string', usage: 'file that gets the result line' },
    ],
    run: (context) => run(benchmark, context),
  };
}
