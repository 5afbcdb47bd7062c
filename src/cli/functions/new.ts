/** `ol new`: makes the folder of a function. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { checkLambdaName } from '../../lambda/code/name';
import { onlyArgument } from '../ask';
import { closest } from '../closest';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { TEMPLATES } from './templates';

function run({ flags, args, cwd, out }: CommandContext): Promise<number> {
  const where = onlyArgument(args, 'folder');
  const dir = resolve(cwd, where);
  checkLambdaName(basename(dir));
  const wanted = flags.string('template');
  const template = Object.hasOwn(TEMPLATES, wanted) ? TEMPLATES[wanted] : undefined;
  if (template === undefined) {
    const names = Object.keys(TEMPLATES);
    const meant = closest(wanted, names);
    const hint = meant === undefined ? `there are ${names.join(', ')}` : `did you mean ${meant}?`;
    throw new CliError(`there is no template "${wanted}"; ${hint}`);
  }
  if (existsSync(dir)) throw new CliError(`${where} exists already; nothing was written`);
  mkdirSync(dir, { recursive: true });
  for (const [name, text] of Object.entries(template.files)) writeFileSync(join(dir, name), text);
  const name = basename(dir);
  out(`made ${where}: ${template.usage}\nnext:\n   ol admin install ${where}\n   ol invoke ${name} -d '{}'\n`);
  return Promise.resolve(EXIT.ok);
}

export const newCommand: Command = {
  name: 'new',
  usage: 'make the folder of a function',
  argsUsage: 'DIR',
  flags: [
    {
      name: 'template',
      aliases: ['t'],
      kind: 'string',
      value: 'f',
      usage: Object.entries(TEMPLATES)
        .map(([name, { usage }]) => `${name}: ${usage}`)
        .join('; '),
    },
  ],
  interspersed: true,
  run,
};
