/** Locates the directory of a worker's secrets. Commands use its files directly, so the worker need not run. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SECRET_NAME, secretsDir } from '../../lambda/code/secrets';
import { CliError, type CommandContext } from '../command';
import { olDirOf } from '../worker/flags';
import { lenientConfig } from '../worker/process/stop';

export interface SecretPlace {
  /** Directory of the worker. */
  olDir: string;
  /** Directory of the worker's secrets. It may not exist yet. */
  dir: string;
}

/** @throws CliError for a directory without a worker */
export function placeOf({ flags, cwd }: Pick<CommandContext, 'flags' | 'cwd'>): SecretPlace {
  const olDir = olDirOf(cwd, flags.string('path'));
  if (!existsSync(join(olDir, 'config.json'))) {
    throw new CliError(`${olDir} is no worker directory: no config.json; -p names another`);
  }
  const { config, workerDir } = lenientConfig(olDir);
  return { olDir, dir: secretsDir(config?.argyle.secrets_dir ?? '', workerDir) };
}

/** The name of a secret, the command's only argument. @throws CliError */
export function secretName(args: readonly string[]): string {
  const [name, ...more] = args;
  if (name === undefined) throw new CliError('the name of a secret is missing');
  if (more.length > 0) {
    // POLICY: a value on the command line would appear in the shell's history and in the process list.
    throw new CliError('exactly one name must be given; the value comes from standard input, or from -f FILE');
  }
  if (!SECRET_NAME.test(name)) {
    throw new CliError(`"${name}" is no name of a secret: use letters, digits and _, as in DB_PASSWORD`);
  }
  return name;
}
