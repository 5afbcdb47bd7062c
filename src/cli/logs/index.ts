/** `ol logs NAME`: prints a function's output and the errors of its calls. */
import { createInterface } from 'node:readline';
import { TARGET_FLAG, targetOf } from '../ask';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import type { FlagSpec } from '../flags';
import { request, type Response } from '../request';
import { authorization, type Target } from '../target';
import { formatLine } from './format';

const FLAGS: readonly FlagSpec[] = [
  TARGET_FLAG,
  { name: 'follow', aliases: ['f'], kind: 'bool', usage: 'go on with what comes' },
  { name: 'tail', aliases: ['n'], kind: 'string', usage: 'so many of the last lines; by default all' },
  { name: 'since', kind: 'string', usage: 'lines since a time: 90s, 5m, 2h, 1d ago, or 2026-11-29T12:00:00Z' },
  { name: 'json', kind: 'bool', usage: 'one JSON object a line, as the worker has it' },
];

function argumentsOf({ args, flags }: CommandContext): { name: string; query: URLSearchParams } {
  const [name, ...more] = args;
  if (name === undefined || name === '') throw new CliError('usage: ol logs NAME: the name of a function is missing');
  if (more.length > 0) throw new CliError(`ol logs takes one name; what is ${JSON.stringify(more[0])}?`);
  const query = new URLSearchParams();
  for (const flag of ['tail', 'since']) if (flags.string(flag) !== '') query.set(flag, flags.string(flag));
  if (flags.bool('follow')) query.set('follow', '1');
  return { name, query };
}

async function ask(url: string, headers: Record<string, string>, signal?: AbortSignal): Promise<Response> {
  const cut = signal === undefined ? {} : { signal };
  const answer = await request(url, { headers, bodyTimeout: 0, ...cut }).catch((cause: unknown) => {
    throw new CliError(`no answer from ${new URL(url).origin}: is the worker running?`, { cause });
  });
  if (answer.statusCode !== 200) throw new CliError((await answer.body.text()).trim());
  return answer;
}

export interface LogPrinting {
  name: string;
  /** Query of `GET /logs/<name>`. */
  query: URLSearchParams;
  /** Prints the worker's JSON lines unchanged. */
  json: boolean;
  /** Ends the log; the abort is reported as an error. */
  signal?: AbortSignal;
}

/** Prints a log until the worker ends the response. @throws CliError when there is no log or the connection breaks */
export async function printLog(
  target: Target,
  { name, query, json, signal }: LogPrinting,
  { env, out }: Pick<CommandContext, 'env' | 'out'>,
): Promise<void> {
  const url = `${target.url}/logs/${encodeURIComponent(name)}?${query.toString()}`;
  const { body } = await ask(url, authorization(target), signal);
  const { NO_COLOR: none = '', FORCE_COLOR: forced = '' } = env;
  const colored = forced !== '' || (process.stdout.isTTY && none === '');
  try {
    for await (const line of createInterface({ input: body, crlfDelay: Infinity })) {
      if (line !== '') out(`${json ? line : formatLine(line, colored)}\n`);
    }
  } catch (cause) {
    throw new CliError(`the connection to ${target.url} ended`, { cause });
  }
}

async function run(context: CommandContext): Promise<number> {
  await printLog(targetOf(context), { ...argumentsOf(context), json: context.flags.bool('json') }, context);
  return EXIT.ok;
}

export const logsCommand: Command = {
  name: 'logs',
  usage: 'show what a function printed, and why its calls failed',
  argsUsage: 'NAME',
  flags: FLAGS,
  interspersed: true,
  run,
};
