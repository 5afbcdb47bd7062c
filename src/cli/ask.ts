/** Requests from commands to a worker. */
import { z } from 'zod';
import { closest } from './closest';
import { CliError, type CommandContext } from './command';
import type { FlagSpec } from './flags';
import { request } from './request';
import { authorization, workerTarget, type Target } from './target';

export const TARGET_FLAG: FlagSpec = {
  name: 'path',
  aliases: ['p'],
  kind: 'string',
  usage: 'directory of the worker; by default the one of template.json',
};

export const JSON_FLAG: FlagSpec = { name: 'json', kind: 'bool', usage: 'print JSON, for programs' };

export interface Asked {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

export interface Question {
  method?: 'GET' | 'POST' | 'DELETE';
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** Time limit of the whole exchange, ms; no limit by default. */
  limitMs?: number;
}

/** The worker that the command's flags select. */
export function targetOf({ flags, cwd, env }: Pick<CommandContext, 'flags' | 'cwd' | 'env'>): Target {
  return workerTarget(cwd, flags.string('path'), env);
}

/** Sends one request and returns the response, whatever its status. @throws CliError when there is no response */
export async function ask(target: Target, path: string, question: Question = {}): Promise<Asked> {
  const { method = 'GET', headers = {}, body, limitMs } = question;
  try {
    const answer = await request(`${target.url}${path}`, {
      method,
      headersTimeout: 0,
      bodyTimeout: 0,
      headers: { ...authorization(target), ...headers },
      ...(body === undefined ? {} : { body }),
      ...(limitMs === undefined ? {} : { signal: AbortSignal.timeout(limitMs) }),
    });
    return {
      status: answer.statusCode,
      headers: answer.headers,
      body: Buffer.from(await answer.body.arrayBuffer()),
    };
  } catch (cause) {
    const why = (cause as Error).message;
    throw new CliError(`no answer from ${target.url}: ${why}\nIs the worker running? Start it with: ol worker up -d`, {
      cause,
    });
  }
}

/** An error with the worker's status and message. */
export function refusal(target: Target, path: string, { status, body }: Asked): CliError {
  const said = body.toString().trim();
  const hint = status === 401 || status === 403 ? "\nSet ARGYLE_ADMIN_TOKEN to the worker's argyle.admin_token." : '';
  return new CliError(`${target.url}${path} answered ${status}${said === '' ? '' : `: ${said}`}${hint}`);
}

/** Returns the body of a 200 response. @throws CliError for any other status */
export async function askText(target: Target, path: string, question: Question = {}): Promise<string> {
  const answer = await ask(target, path, question);
  if (answer.status !== 200) throw refusal(target, path, answer);
  return answer.body.toString();
}

/** The names of all functions in the worker's registry. */
export async function functionNames(target: Target): Promise<string[]> {
  return z.array(z.string()).parse(JSON.parse(await askText(target, '/registry/')));
}

/** The error for a function that the registry lacks, with a suggestion if a similar name exists. */
export async function unknownFunction(target: Target, name: string): Promise<CliError> {
  const meant = closest(name, await functionNames(target).catch(() => []));
  const hint = meant === undefined ? 'ol ls lists all functions' : `did you mean ${meant}?`;
  return new CliError(`there is no function ${name} at ${target.url}; ${hint}`);
}

/** The only positional argument of a command. @throws CliError for none or several */
export function onlyArgument(args: readonly string[], what: string): string {
  const [first, ...more] = args;
  if (first === undefined || more.length > 0) {
    throw new CliError(`exactly one ${what} must be given, found ${args.length}: ${args.join(' ')}`);
  }
  return first;
}
