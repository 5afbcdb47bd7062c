/** `ol pprof`: takes profiles of a running worker. */
import { createWriteStream } from 'node:fs';
import { resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TARGET_FLAG, targetOf } from '../ask';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { request } from '../request';
import { authorization } from '../target';

async function ask(context: CommandContext, endpoint: string) {
  const target = targetOf(context);
  const { url } = target;
  const answer = await request(`${url}/pprof/${endpoint}`, { headers: authorization(target) }).catch(
    (cause: unknown) => {
      throw new CliError(`no answer from ${url}: is the worker running?`, { cause });
    },
  );
  if (answer.statusCode === 200) return answer.body;
  const said = (await answer.body.text()).trim();
  throw new CliError(`${url}/pprof/${endpoint} answered ${answer.statusCode}${said === '' ? '' : `: ${said}`}`);
}

/** A command that saves the endpoint's response to a file. */
function saving(name: string, usage: string, file: string): Command {
  return {
    name,
    usage,
    flags: [TARGET_FLAG, { name: 'out', aliases: ['o'], kind: 'string', value: file, usage: 'file to write' }],
    run: async (context) => {
      const path = resolve(context.cwd, context.flags.string('out'));
      await pipeline(await ask(context, name), createWriteStream(path));
      context.out(`output written to ${path}\n`);
      return EXIT.ok;
    },
  };
}

export const pprofCommand: Command = {
  name: 'pprof',
  usage: 'profile a worker',
  commands: [
    saving('mem', 'take a heap profile', 'mem.prof'),
    {
      name: 'cpu-start',
      usage: 'start taking a CPU profile',
      flags: [TARGET_FLAG],
      run: async (context) => {
        await (await ask(context, 'cpu-start')).dump();
        return EXIT.ok;
      },
    },
    saving('cpu-stop', 'end the CPU profile and save it', 'cpu.prof'),
  ],
};
