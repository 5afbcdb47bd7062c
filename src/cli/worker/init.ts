/** `ol worker init`: makes the directory of a worker. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { configFromTemplate, defaultConfig, findTemplate, readJson } from '../../config';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { type Progress, withProgress } from '../progress';
import { findHelper, guestBeside, HOME } from '../paths';
import type { Services } from '../services';
import { IMAGE_FLAG, olDirOf, PATH_FLAG } from './flags';
import { writeHelperConf } from './helper-conf';
import { makeBase } from './bases/image';
import { releaseMounts } from './mounts';
import { workerState } from './process/pidfile';
import { bringToStoppedClean, lenientConfig } from './process/stop';

const BASE = 'lambda';
const TREE = 'default-zygotes-40.json';

export interface InitOptions {
  olDir: string;
  image: string;
  /** Makes the base again even if it exists. Its installed packages are lost. */
  newBase: boolean;
  cwd: string;
  env: NodeJS.ProcessEnv;
  services: Services;
  out: (text: string) => void;
  progress?: Progress;
}

/** Memory of this machine or container, in MB. */
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
 * Makes the worker directory. Deletes everything in an existing one except the base.
 * @throws CliError for a directory without a worker, or when the image is not available
 */
export async function initWorker(options: InitOptions): Promise<void> {
  const { olDir, cwd, out } = options;
  if (existsSync(olDir)) {
    if (!existsSync(join(olDir, 'ol.init'))) {
      throw new CliError(`${olDir} exists and is no worker directory (it has no ol.init): choose another or remove it`);
    }
    options.progress?.step('stopping the worker that is there');
    await stopAndEmpty(olDir, options.services);
  }
  mkdirSync(olDir, { recursive: true, mode: 0o755 });
  // This file comes first, so that a directory of a failed init can be initialised again.
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
  else {
    options.progress?.step(`making the base of sandboxes in ${base}`);
    await makeBase(base, options.image, cwd, options.env);
  }

  copyFileSync(join(HOME, 'configs', TREE), join(olDir, TREE));
  for (const dir of [join(olDir, 'registry'), config.Pkgs_dir, config.worker_dir]) mkdirSync(dir, { recursive: true });
  if (process.getuid?.() === 0) writeHelperConf(olDir, config, guestBeside(helperOrBuilt(config.argyle.helper)));
  writeFileSync(join(olDir, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  out(`Initialized worker directory ${olDir}\n`);
}

/**
 * A directory may be initialised before the helper is built. The result is then the path that `make build` will create.
 */
function helperOrBuilt(setting: string): string {
  try {
    return findHelper(setting);
  } catch {
    return join(HOME, 'build/sandbox-helper');
  }
}

async function run({ flags, cwd, env, services, out }: CommandContext): Promise<number> {
  const olDir = olDirOf(cwd, flags.string('path'));
  const [image, newBase] = [flags.string('image'), flags.bool('newbase')];
  await withProgress((progress) =>
    initWorker({ olDir, image, newBase, cwd, env, services, out: progress.around(out), progress }),
  );
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
