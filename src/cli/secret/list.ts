/** `ol secret ls` and `ol secret rm`. Neither prints a value. */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SECRET_NAME } from '../../lambda/code/secrets';
import { JSON_FLAG } from '../ask';
import { closest } from '../closest';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { PATH_FLAG } from '../worker/flags';
import { placeOf, secretName } from './place';

interface Listed {
  name: string;
  /** Size of the file. The file may end in a newline. */
  bytes: number;
  /** Time of the last change, ISO 8601. */
  changed: string;
}

/** Secrets in the directory by name; empty when the directory does not exist. */
function listed(dir: string): Listed[] {
  let names: string[];
  try {
    names = readdirSync(dir).filter((name) => SECRET_NAME.test(name));
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [];
    throw new CliError(`${dir} cannot be read: ${message}`, { cause });
  }
  return names.sort().map((name) => {
    const { size, mtime } = statSync(join(dir, name));
    return { name, bytes: size, changed: mtime.toISOString() };
  });
}

function list(context: CommandContext): Promise<number> {
  const { dir } = placeOf(context);
  const secrets = listed(dir);
  const width = Math.max(...secrets.map(({ name }) => name.length), 0);
  if (context.flags.bool('json')) context.out(`${JSON.stringify(secrets)}\n`);
  else if (secrets.length === 0) context.err(`no secrets in ${dir}; ol secret set NAME makes one\n`);
  else context.out(secrets.map(({ name, changed }) => `${name.padEnd(width)}  ${changed}\n`).join(''));
  return Promise.resolve(EXIT.ok);
}

function remove(context: CommandContext): Promise<number> {
  const name = secretName(context.args);
  const { dir } = placeOf(context);
  const names = listed(dir).map((secret) => secret.name);
  if (!names.includes(name)) {
    const meant = closest(name, names);
    throw new CliError(`there is no secret ${name} in ${dir}${meant === undefined ? '' : `; did you mean ${meant}?`}`);
  }
  rmSync(join(dir, name));
  context.out(`${name} is removed; functions that ask for it can no longer be called\n`);
  return Promise.resolve(EXIT.ok);
}

export const listCommand: Command = {
  name: 'ls',
  usage: 'list the names of the secrets',
  flags: [PATH_FLAG, JSON_FLAG],
  interspersed: true,
  run: list,
};

export const removeCommand: Command = {
  name: 'rm',
  usage: 'remove a secret',
  argsUsage: 'NAME',
  flags: [PATH_FLAG],
  interspersed: true,
  run: remove,
};
