/** `ol worker check-config`: prints all errors in a config file. */
import { join, resolve } from 'node:path';
import { applyOverrides, examine, readJson } from '../../config';
import { EXIT, type Command, type CommandContext } from '../command';
import { olDirOf, PATH_FLAG } from './flags';

function run({ flags, args, cwd, out, err }: CommandContext): Promise<number> {
  const [file] = args;
  const path = file === undefined ? join(olDirOf(cwd, flags.string('path')), 'config.json') : resolve(cwd, file);
  const options = flags.string('options');
  const json = options === '' ? readJson(path) : applyOverrides(readJson(path), options);
  const { problems, warnings } = examine(json);
  for (const warning of warnings) err(`warning: ${warning}\n`);
  for (const { field, value, message } of problems) err(`error: ${message}\n  ${field || '(file)'} = ${value}\n`);
  if (problems.length === 0) out(`${path} is valid\n`);
  return Promise.resolve(problems.length === 0 ? EXIT.ok : EXIT.error);
}

export const checkConfigCommand: Command = {
  name: 'check-config',
  usage: 'say everything that is wrong with a config file (that of the worker, or FILE)',
  argsUsage: '[FILE]',
  flags: [PATH_FLAG, { name: 'options', aliases: ['o'], kind: 'string', usage: 'settings as for up: key=value,…' }],
  run: async (context) => run(context),
};
