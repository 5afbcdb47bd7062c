/** `ol worker init`: makes the directory of a worker. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { configFromTemplate, defaultConfig, findTemplate, readJson } from '../../config';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { findHelper, guestBeside, HOME } from '../paths';
import type { Services } from '../services';
import { IMAGE_FLAG, olDirOf, PATH_FLAG } from './flags';
import { writeHelperConf } from './helperConf';
import { makeBase } from './image';
import { releaseMounts } from './mounts';
import { workerState } from './pidfile';
import { bringToStoppedClean, lenientConfig } from './stop';

const BASE = 'lambda';
const TREE = 'default-zygotes-40.json';

export interface InitOptions {
  olDir: string;
  image: string;
  /** Make the base again although it exists; installed packages in it are lost. */
  newBase: boolean;
  cwd: string;
  env: NodeJS.ProcessEnv;
  services: Services;
  out: (text: string) => void;
}

/** Memory that this machine or container has, in MB. */
function totalMemMb(): number {
  const constrained = process.constrainedMemory();
  const bytes = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return Math.floor(bytes / 2 ** 20);
}

async function stopAndEmpty(olDir: string, services: Services): Promise<void> {
  if ((await workerState(lenientConfig(olDir).workerDir)).kind !== 'Uninitialized') {
    await bringToStoppedClean(olDir, services);
  }
  await releaseMounts(olDir);
  for (const name of readdirSync(olDir)) {
    if (name !== BASE) rmSync(join(olDir, name), { recursive: true, force: true });
  }
}

/**
 * Makes or makes anew the worker directory. Everything in an existing one is deleted but for the base.
 * Throws CliError for a directory that is no worker's, or when the image can't be had.
 */
export async function initWorker(options: InitOptions): Promise<void> {
  const { olDir, cwd, out } = options;
  if (existsSync(olDir)) {
    if (!existsSync(join(olDir, 'ol.init'))) {
      throw new CliError(`${olDir} exists and is no worker directory (it has no ol.init): choose another or remove it`);
    }
    await stopAndEmpty(olDir, options.services);
  }
  mkdirSync(olDir, { recursive: true, mode: 0o755 });
  // First of all, so that a directory left behind by a failed init can be initialised again.
  writeFileSync(join(olDir, 'ol.init'), '');

  const template = findTemplate(cwd);
  if (template !== undefined) out(`Using ${template}\n`);
  const config =
    template === undefined
      ? defaultConfig(olDir, totalMemMb())
      : configFromTemplate(readJson(template), olDir, totalMemMb());

  const base = join(olDir, BASE);
  if (options.newBase) rmSync(base, { recursive: true, force: true });
  if (existsSync(base)) out(`Keeping the base in ${base}; -b makes it anew\n`);
  else await makeBase(base, options.image, cwd, options.env);

  copyFileSync(join(HOME, 'configs', TREE), join(olDir, TREE));
  for (const dir of [join(olDir, 'registry'), config.Pkgs_dir, config.worker_dir]) mkdirSync(dir, { recursive: true });
  if (process.getuid?.() === 0) writeHelperConf(olDir, config, guestBeside(helperOrBuilt(config.argyle.helper)));
  writeFileSync(join(olDir, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  out(`Initialized worker directory ${olDir}\n`);
}

/** A directory may be initialised before the helper is built; it will be where `make build` puts it. */
function helperOrBuilt(setting: string): string {
  try {
    return findHelper(setting);
  } catch {
    return join(HOME, 'build/sandbox-helper');
  }
}

async function run({ flags, cwd, env, services, out }: CommandContext): Promise<number> {
  const olDir = olDirOf(cwd, flags.string('path'));
  await initWorker({ olDir, image: flags.string('image'), newBase: flags.bool('newbase'), cwd, env, services, out });
  return EXIT.ok;
}

export const initCommand: Command = {
  name: 'init',
  usage: 'make the directory of a worker',
  flags: [
    PATH_FLAG,
    IMAGE_FLAG,
    { name: 'newbase', aliases: ['b'], kind: 'bool', usage: 'make the base anew although it exists' },
  ],
  run,
};
