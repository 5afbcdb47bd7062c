/** `ol worker base`: manages further Pythons for a worker's functions. */
import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { isObject, loadConfig, readJson, type Config } from '../../../config';
import { BASE_NAME, baseRoot, basesDir, ownRuntime, pythonIn } from '../../../config/bases';
import { CliError, EXIT, type Command, type CommandContext } from '../../command';
import { debianRelease, debootstrap } from './debootstrap';
import { olDirOf, PATH_FLAG, STOCK_IMAGES } from '../flags';
import { finishBase, makeBase } from './image';
import { workerState } from '../process/pidfile';

interface Place {
  file: string;
  config: Config;
}

function placeOf({ cwd, flags }: CommandContext): Place {
  const olDir = olDirOf(cwd, flags.string('path'));
  const file = join(olDir, 'config.json');
  if (!existsSync(file))
    throw new CliError(`${olDir} has no config.json: run ol worker init -p ${flags.string('path')}`);
  return { file, config: loadConfig(file).config };
}

/** Replaces argyle.bases in config.json and nothing else. */
function writeBases(file: string, bases: Record<string, string>): void {
  const json = readJson(file);
  const found: Record<string, unknown> = isObject(json) ? json : {};
  const argyle = isObject(found['argyle']) ? found['argyle'] : {};
  const draft = `${file}.new`;
  writeFileSync(draft, `${JSON.stringify({ ...found, argyle: { ...argyle, bases } }, null, 2)}\n`);
  renameSync(draft, file);
}

/** Makes the root directory of a base. Removes it again on failure. @throws CliError */
export async function makeRoot(
  dir: string,
  name: string,
  source: string,
  { cwd, env }: Pick<CommandContext, 'cwd' | 'env'>,
): Promise<void> {
  if (debianRelease(source) === undefined && !existsSync(resolve(cwd, source))) {
    throw new CliError(`${source} is no directory, no tar file, and no release of Debian such as debian:trixie`);
  }
  const draft = join(dirname(dir), `.new-${basename(dir)}`);
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(dirname(dir), { recursive: true, mode: 0o755 });
  const release = debianRelease(source);
  try {
    if (release === undefined) await makeBase(draft, source, cwd, env);
    else {
      await debootstrap(release, draft);
      finishBase(draft, env);
    }
    const version = pythonIn(draft);
    if (version === undefined) throw new CliError(`${source} has no usr/bin/python3.N: install python3 in it`);
    const promised = /^python(3\.\d+)$/.exec(name)?.[1];
    if (promised !== undefined && promised !== version) {
      throw new CliError(`${source} has Python ${version}, so its name cannot be ${name}: say python${version}`);
    }
    mkdirSync(join(draft, 'packages'), { recursive: true, mode: 0o755 });
    renameSync(draft, dir);
  } catch (thrown) {
    rmSync(draft, { recursive: true, force: true });
    throw thrown;
  }
}

async function add(context: CommandContext): Promise<number> {
  const [name, source, ...extra] = context.args;
  if (name === undefined || source === undefined || extra.length > 0) {
    throw new CliError('exactly a name and a directory, a tar file or debian:RELEASE must be given');
  }
  if (!BASE_NAME.test(name)) {
    throw new CliError(
      `name "${name}" of a base must be lower-case letters, digits, dots, - and _, such as python3.13`,
    );
  }
  if (STOCK_IMAGES.includes(source)) throw new CliError("the host's own Python needs no base: leave `runtime` out");
  const { file, config } = placeOf(context);
  const { bases } = config.argyle;
  const own = ownRuntime(config);
  if (name === own) throw new CliError(`${own} is this worker's own Python already: leave \`runtime\` out`);
  const dir = join(basesDir(config), name);
  if (bases[name] !== undefined || existsSync(dir)) {
    throw new CliError(`base ${name} exists: ol worker base rm ${name} removes it`);
  }
  await makeRoot(dir, name, source, context);
  writeBases(file, { ...bases, [name]: dir });
  context.out(`Added ${name}: Python ${pythonIn(dir) ?? ''} in ${dir}\n`);
  await reportRestart(config, context);
  return EXIT.ok;
}

async function reportRestart(config: Config, { err }: CommandContext): Promise<void> {
  const { kind } = await workerState(config.worker_dir);
  if (kind === 'Running') err('the worker reads this when it is started the next time\n');
}

function list(context: CommandContext): Promise<number> {
  const { config } = placeOf(context);
  const lines = [[ownRuntime(config), pythonIn(config.sock_base_path) ?? pythonIn('/'), config.sock_base_path]];
  for (const [name, dir] of Object.entries(config.argyle.bases)) {
    lines.push([name, pythonIn(baseRoot(config, name) ?? dir), dir]);
  }
  for (const [name = '', version = 'no Python', dir = ''] of lines) {
    context.out(`${name.padEnd(16)} ${version.padEnd(10)} ${dir}\n`);
  }
  return Promise.resolve(EXIT.ok);
}

async function remove(context: CommandContext): Promise<number> {
  const [name, ...extra] = context.args;
  if (name === undefined || extra.length > 0) throw new CliError('exactly one name of a base must be given');
  const { file, config } = placeOf(context);
  const { [name]: named, ...rest } = config.argyle.bases;
  const dir = baseRoot(config, name);
  if (named === undefined || dir === undefined) {
    const known = Object.keys(config.argyle.bases).join(', ');
    throw new CliError(`there is no base ${name}; ${known === '' ? 'there are none' : `there are ${known}`}`);
  }
  const { kind } = await workerState(config.worker_dir);
  if (kind === 'Running') throw new CliError(`a worker may be using ${name}: run ol worker down first`);
  writeBases(file, rest);
  // A root directory that this command did not make is not deleted.
  const inside = relative(basesDir(config), dir);
  if (inside !== '' && !inside.startsWith('..') && statSync(dir, { throwIfNoEntry: false }) !== undefined) {
    rmSync(dir, { recursive: true, force: true });
  }
  context.out(`Removed ${name}\n`);
  return EXIT.ok;
}

export const baseCommand: Command = {
  name: 'base',
  usage: 'manage the Pythons that functions may run under',
  commands: [
    {
      name: 'add',
      usage: 'add a Python for functions whose ol.yaml says runtime: NAME',
      argsUsage: 'NAME DIR | NAME TAR | NAME debian:RELEASE',
      flags: [PATH_FLAG],
      run: add,
    },
    { name: 'ls', usage: 'list the Pythons of a worker', flags: [PATH_FLAG], run: list },
    {
      name: 'rm',
      usage: 'remove a Python with the packages installed for it',
      argsUsage: 'NAME',
      flags: [PATH_FLAG],
      run: remove,
    },
  ],
};
