/** `ol bench py64-seq` and the others: calls functions of a running worker for a time and prints how many it served. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { urlOf } from '../url';
import { olDirOf, PATH_FLAG } from '../worker/flags';
import { describeStatus } from '../worker/status';
import { numberOf } from '../zygote/options';
import { benchConfig, countOf } from './config';
import { putLoad } from './load';
import { functionName, resultLine, type Benchmark, type Tally } from './table';

const DEFAULT_SECONDS = 60;
const MAX_SECONDS = 86_400;
const MAX_TASKS = 10_000;
const PROGRESS_MS = 1000;
/** A benchmark with a larger part of failed requests measures nothing. */
const MAX_ERROR_SHARE = 0.01;

/** Calls each function once, so that code is pulled and packages are installed before anything is timed. */
async function warmUp(benchmark: Benchmark, tasks: number, url: string, out: (text: string) => void): Promise<void> {
  const { kind, functions } = benchmark;
  out(`warming up: calling each of ${functions} functions once\n`);
  let index = 0;
  let failure: string | undefined;
  await putLoad({
    url,
    tasks,
    next: () => (index < functions && failure === undefined ? functionName(kind, index++) : undefined),
    onError: (message) => (failure ??= message),
  });
  if (failure !== undefined) throw new CliError(`warming up failed: ${failure} (was ol bench init run?)`);
}

async function measure(
  { kind, functions }: Benchmark,
  { url, tasks, seconds, out }: { url: string; tasks: number; seconds: number; out: (text: string) => void },
): Promise<Tally & { seconds: number; failure: string | undefined }> {
  const startMs = performance.now();
  const elapsed = () => (performance.now() - startMs) / 1000;
  let done = 0;
  let shown = 0;
  let failure: string | undefined;
  const progress = setInterval(() => {
    out(`throughput: ${(done - shown).toFixed(1)}/second\n`);
    shown = done;
  }, PROGRESS_MS);
  const tally = await putLoad({
    url,
    tasks,
    next: () => (elapsed() < seconds ? functionName(kind, Math.floor(Math.random() * functions)) : undefined),
    onError: (message) => (failure ??= message),
    onDone: () => done++,
  });
  clearInterval(progress);
  return { ...tally, seconds: elapsed(), failure };
}

async function run(benchmark: Benchmark, { flags, args, cwd, out }: CommandContext): Promise<number> {
  if (args.length > 0) throw new CliError(`ol bench ${benchmark.name} takes no arguments, found ${args.join(' ')}`);
  const seconds = numberOf(flags, 'seconds', 0, MAX_SECONDS);
  const asked = countOf(flags, 'tasks', 0, MAX_TASKS);
  if (benchmark.tasks === 1 && asked > 1) {
    throw new CliError(`--tasks is for parallel benchmarks: ${benchmark.name} sends one request at a time`);
  }
  const tasks = asked === 0 ? benchmark.tasks : asked;
  const config = benchConfig(olDirOf(cwd, flags.string('path')));
  const url = urlOf(config.worker_url, config.worker_port);
  const { ok, line } = await describeStatus(`${url}/status`);
  if (!ok) throw new CliError(`the worker is not ready: ${line.trim()}`);

  if (flags.bool('warmup')) await warmUp(benchmark, tasks, url, out);
  const result = await measure(benchmark, { url, tasks, seconds, out });
  const { successes, errors, failure } = result;
  if (errors > MAX_ERROR_SHARE * (successes + errors)) {
    const share = `${errors} of ${successes + errors}`;
    throw new CliError(`more than 1% of the requests failed (${share}), the first: ${failure ?? ''}`);
  }
  const text = `${resultLine(benchmark.name, result.seconds, result)}\n`;
  if (flags.string('output') !== '') writeFileSync(resolve(cwd, flags.string('output')), text);
  out(text);
  return EXIT.ok;
}

/** The command of one benchmark. */
export function benchmarkCommand(benchmark: Benchmark): Command {
  const { name, kind, functions, tasks } = benchmark;
  const what = kind === 'pd' ? 'functions with pandas' : 'small functions';
  return {
    name,
    usage: `call ${functions} ${what}, ${tasks === 1 ? 'one request at a time' : 'many requests at a time'}`,
    flags: [
      PATH_FLAG,
      {
        name: 'seconds',
        aliases: ['s'],
        kind: 'string',
        value: String(DEFAULT_SECONDS),
        usage: 'time to measure, after the warmup',
      },
      {
        name: 'tasks',
        aliases: ['t'],
        kind: 'string',
        value: '0',
        usage: `requests at a time in a parallel benchmark; 0 means ${tasks}`,
      },
      { name: 'warmup', aliases: ['w'], kind: 'bool', value: 'true', usage: 'call each function once beforehand' },
      { name: 'output', aliases: ['o'], kind: 'string', usage: 'file that gets the result line' },
    ],
    run: (context) => run(benchmark, context),
  };
}
