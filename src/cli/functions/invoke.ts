/** `ol invoke`: calls a function. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { ask, functionNames, onlyArgument, TARGET_FLAG, targetOf, unknownFunction, type Asked } from '../ask';
import { CliError, EXIT, type Command, type CommandContext } from '../command';

/** The event, and its content type. @throws CliError for two sources, an unreadable file, or -d with invalid JSON */
async function eventOf({ flags, cwd }: CommandContext): Promise<string | Buffer> {
  const [data, file] = [flags.string('data'), flags.string('file')];
  if (data !== '' && file !== '') throw new CliError('only one of -d and -f may be given');
  if (file === '-') return text(process.stdin);
  if (file !== '') {
    try {
      return readFileSync(resolve(cwd, file));
    } catch (cause) {
      throw new CliError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
    }
  }
  return data;
}

/**
 * Calls the function from a separate process and drops the response. POLICY: the worker ends a call whose client
 * leaves, so some process must wait for the response.
 */
function detach({ self, flags, cwd, env }: CommandContext, named: string, body: string | Buffer): void {
  const [program = process.execPath, ...first] = self;
  const args = [...first, 'invoke', `--path=${flags.string('path')}`, '--file=-', '--', named];
  const child = spawn(program, args, { cwd, env, detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  child.stdin.end(body);
  child.unref();
}

/** Status line and headers, as `curl -i` shows them. */
function headOf({ status, headers }: Asked): string {
  const lines = Object.entries(headers).flatMap(([name, value]) => [value ?? []].flat().map((v) => `${name}: ${v}\n`));
  return `${status}\n${lines.join('')}\n`;
}

async function run(context: CommandContext): Promise<number> {
  const { flags, out, err } = context;
  const named = onlyArgument(context.args, 'function');
  const target = targetOf(context);
  // A path and a query may follow the name, as in /run/NAME/path?query.
  const name = /^[^/?]*/.exec(named)?.[0] ?? '';
  const body = await eventOf(context);
  const headers = { 'content-type': 'application/json' };
  if (flags.bool('async')) {
    if (!(await functionNames(target)).includes(name)) throw await unknownFunction(target, name);
    detach(context, named, body);
    return EXIT.ok;
  }
  const answer = await ask(target, `/run/${named}`, { method: 'POST', headers, body });
  if (flags.bool('include')) out(headOf(answer));
  const said = answer.body.toString();
  if (answer.status < 400) {
    out(said.endsWith('\n') || said === '' ? said : `${said}\n`);
    return EXIT.ok;
  }
  if (!(await functionNames(target)).includes(name)) throw await unknownFunction(target, name);
  err(`${name} answered ${answer.status}: ${said}${said.endsWith('\n') ? '' : '\n'}`);
  return EXIT.error;
}

export const invokeCommand: Command = {
  name: 'invoke',
  usage: 'call a function and print its answer',
  argsUsage: 'NAME[/PATH]',
  flags: [
    TARGET_FLAG,
    { name: 'data', aliases: ['d'], kind: 'string', usage: 'the event, JSON for f(event)' },
    { name: 'file', aliases: ['f'], kind: 'string', usage: 'file with the event; - is standard input' },
    { name: 'async', kind: 'bool', usage: 'do not wait for the answer, which is dropped' },
    { name: 'include', aliases: ['i'], kind: 'bool', usage: 'print the status and the headers, too' },
  ],
  interspersed: true,
  run,
};
