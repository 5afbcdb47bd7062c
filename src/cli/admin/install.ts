/** `ol admin install`: uploads a lambda to a worker or to the boss. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { request } from 'undici';
import { checkLambdaName } from '../../lambda/name';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { bossTarget, workerTarget, type Target } from '../target';
import { packLambda } from './archive';
import { lockCommand } from './lock';
import { lockFolder } from './locking';
import { openSource } from './source';
import { toolsFor } from './tools-for';
import { upload } from './upload';

async function checkRunning({ url }: Target): Promise<void> {
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
  const target = toBoss ? bossTarget(cwd, env) : workerTarget(cwd, flags.string('path'), env);
  const file = (flag: string) => (flags.string(flag) === '' ? '' : resolve(cwd, flags.string(flag)));
  const source = await openSource(where, cwd);
  const staging = mkdtempSync(join(tmpdir(), 'ol-install-'));
  try {
    const name = flags.string('name') === '' ? source.name : flags.string('name');
    checkLambdaName(name);
    await checkRunning(target);
    const olYaml = file('config');
    const resolving = !flags.bool('no-resolve');
    const tools = resolving
      ? await toolsFor(cwd, flags.string('path'), env, olYaml === '' ? join(source.dir, 'ol.yaml') : olYaml)
      : undefined;
    const lock = (dir: string) => (tools === undefined ? Promise.resolve(undefined) : lockFolder(dir, tools));
    const requirements = file('requirements');
    const { file: archive, locked } = await packLambda({ dir: source.dir, olYaml, requirements, lock, staging });
    if (locked?.warning !== undefined) err(`warning: ${locked.warning}\n`);
    if (locked?.requirements !== undefined) err(`${locked.pins.length} packages from ${locked.from}\n`);
    await upload(target, name, archive, err);
    out(`Successfully installed lambda function: ${name}\n`);
    return EXIT.ok;
  } finally {
    rmSync(staging, { recursive: true, force: true });
    source.dispose();
  }
}

export const installCommand: Command = {
  name: 'install',
  usage: 'upload a lambda from a directory or a git repository',
  argsUsage: '[boss] DIR | https://….git | git@….git',
  flags: [
    {
      name: 'path',
      aliases: ['p'],
      kind: 'string',
      usage: 'directory of the worker; by default the one of template.json',
    },
    { name: 'config', aliases: ['c'], kind: 'string', usage: 'file that becomes ol.yaml' },
    { name: 'requirements', aliases: ['r'], kind: 'string', usage: 'file that becomes requirements.txt' },
    { name: 'no-resolve', kind: 'bool', usage: 'upload requirements.txt as it is' },
    { name: 'name', aliases: ['n'], kind: 'string', usage: 'name of the lambda; by default that of the directory' },
  ],
  run,
};

export const adminCommand: Command = {
  name: 'admin',
  usage: 'manage lambdas',
  commands: [installCommand, lockCommand],
};
