/** `ol admin install`: uploads a lambda to a worker or to the boss. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkLambdaName } from '../../lambda/code/name';
import { TARGET_FLAG } from '../ask';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { request } from '../request';
import { bossTarget, workerTarget, type Target } from '../target';
import { installFolder } from './install-folder';
import { lockCommand } from './lock';
import { openSource } from './source';
import { toolsFor } from './tools-for';

export async function checkRunning({ url }: Target): Promise<void> {
  const answer = await request(`${url}/status`).catch((cause: unknown) => {
    throw new CliError(`no answer from ${url}/status: is the worker running?`, { cause });
  });
  const body = await answer.body.text();
  if (answer.statusCode !== 200) throw new CliError(`${url}/status answered ${answer.statusCode}: ${body.trim()}`);
}

async function run({ flags, args, cwd, env, out, err }: CommandContext): Promise<number> {
  const toBoss = args.length === 2 && args[0] === 'boss';
  const [where, ...extra] = toBoss ? args.slice(1) : args;
  if (where === undefined || extra.length > 0) {
    throw new CliError(`exactly one directory or git URL must be given, found ${args.length}: ${args.join(' ')}`);
  }
  if (toBoss && flags.string('path') !== '')
    throw new CliError("'boss' and -p name different places: give one of them");
  const target = toBoss ? bossTarget(cwd, env) : workerTarget(cwd, flags.string('path'), env);
  const file = (flag: string) => (flags.string(flag) === '' ? '' : resolve(cwd, flags.string(flag)));
  const source = await openSource(where, cwd);
  try {
    const name = flags.string('name') === '' ? source.name : flags.string('name');
    checkLambdaName(name);
    await checkRunning(target);
    const olYaml = file('config');
    const resolving = !flags.bool('no-resolve');
    const tools = resolving
      ? await toolsFor(cwd, flags.string('path'), env, olYaml === '' ? join(source.dir, 'ol.yaml') : olYaml)
      : undefined;
    const requirements = file('requirements');
    for (const [path, replaced] of [
      [olYaml, 'ol.yaml'],
      [requirements, 'requirements.txt'],
    ] as const) {
      if (path === '') continue;
      if (!existsSync(path)) throw new CliError(`${path} does not exist`);
      if (existsSync(join(source.dir, replaced)))
        err(`warning: ${path} takes the place of the directory's ${replaced}\n`);
    }
    await installFolder(target, name, { dir: source.dir, olYaml, requirements, tools }, err);
    out(`Successfully installed lambda function: ${name}\n`);
    return EXIT.ok;
  } finally {
    source.dispose();
  }
}

export const installCommand: Command = {
  name: 'install',
  usage: 'upload a lambda from a directory or a git repository',
  argsUsage: '[boss] DIR | https://….git | git@….git',
  flags: [
    TARGET_FLAG,
    { name: 'config', aliases: ['c'], kind: 'string', usage: 'file that becomes ol.yaml' },
    { name: 'requirements', aliases: ['r'], kind: 'string', usage: 'file that becomes requirements.txt' },
    { name: 'no-resolve', kind: 'bool', usage: 'upload the files as they are, unchecked' },
    { name: 'name', aliases: ['n'], kind: 'string', usage: 'name of the lambda; by default that of the directory' },
  ],
  run,
};

export const adminCommand: Command = {
  name: 'admin',
  usage: 'manage lambdas',
  commands: [installCommand, lockCommand],
};
