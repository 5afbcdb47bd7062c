/** `ol admin lock`: writes all pins of a folder to its requirements.lock. */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { formatLock, LOCK_FILE } from '../../packages/requirements/lock';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { lockFolder } from './locking';
import { openSource } from './source';
import { toolsFor } from './tools-for';

async function run({ flags, args, cwd, env, out, err }: CommandContext): Promise<number> {
  const [where, ...extra] = args;
  if (where === undefined || extra.length > 0) {
    throw new CliError(`exactly one directory must be given, found ${args.length}: ${args.join(' ')}`);
  }
  const { dir } = await openSource(resolve(cwd, where), cwd);
  const tools = await toolsFor(cwd, flags.string('path'), env, join(dir, 'ol.yaml'));
  const warn = (text: string) => {
    err(`warning: ${text}\n`);
  };
  const locked = await lockFolder(dir, { ...tools, warn }, true);
  if (locked === undefined) {
    throw new CliError(
      `${where} names no packages: it has no requirements.txt, pyproject.toml, uv.lock or poetry.lock`,
    );
  }
  if (locked.warning !== undefined) throw new CliError(locked.warning);
  const file = join(dir, LOCK_FILE);
  writeFileSync(file, formatLock({ pins: [...locked.pins], from: locked.key, python: tools.python.version }));
  out(locked.pins.map(({ spec }) => `${spec}\n`).join(''));
  err(`${locked.pins.length} packages from ${locked.from}, for Python ${tools.python.version}: ${file}\n`);
  return EXIT.ok;
}

export const lockCommand: Command = {
  name: 'lock',
  usage: 'resolve the packages of a directory and write requirements.lock',
  argsUsage: 'DIR',
  flags: [{ name: 'path', aliases: ['p'], kind: 'string', usage: 'directory of the worker whose Python is meant' }],
  run,
};
