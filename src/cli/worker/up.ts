/** `ol worker up`: starts a worker, in the foreground or detached. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { applyOverrides, loadConfig, readJson } from '../../config';
import { CliError, type Command, type CommandContext } from '../command';
import { startDetached } from './detach';
import { IMAGE_FLAG, olDirOf, PATH_FLAG } from './flags';
import { runForeground } from './foreground';
import { withOwnHelperConf } from './helperConf';
import { initWorker } from './init';
import { bringToStoppedClean, lenientConfig } from './stop';
import { workerState } from './pidfile';

/** Writes config.json.overrides where options are given; returns the path of the file to load. */
function effectiveConfig(olDir: string, options: string): string {
  const path = join(olDir, 'config.json');
  if (options === '') return path;
  const overrides = `${path}.overrides`;
  writeFileSync(overrides, `${JSON.stringify(applyOverrides(readJson(path), options), null, 2)}\n`);
  return overrides;
}

async function run(context: CommandContext): Promise<number> {
  const { flags, args, cwd, env, services, out, err } = context;
  if (args.length > 0) err(`ignored: ${args.join(' ')} (flags must stand before other arguments)\n`);
  const olDir = olDirOf(cwd, flags.string('path'));
  const image = flags.string('image');
  if (!existsSync(olDir)) await initWorker({ olDir, image, newBase: false, cwd, env, services, out });
  if (!existsSync(join(olDir, 'config.json'))) {
    throw new CliError(`${olDir} has no config.json: run ol worker init -p ${flags.string('path')} first`);
  }
  const { workerDir } = lenientConfig(olDir);
  const { kind } = await workerState(workerDir);
  if (kind === 'Running' || kind === 'StoppedDirty') await bringToStoppedClean(olDir, services);

  const options = flags.string('options');
  const { config: loaded, warnings } = loadConfig(effectiveConfig(olDir, options));
  const config = withOwnHelperConf(olDir, loaded);
  if (flags.bool('detach')) {
    for (const warning of warnings) err(`warning: ${warning}\n`);
    return startDetached({ ...context, olDir, config, options });
  }
  return runForeground({ olDir, config, warnings, services, out });
}

export const upCommand: Command = {
  name: 'up',
  usage: 'start a worker',
  flags: [
    PATH_FLAG,
    IMAGE_FLAG,
    { name: 'options', aliases: ['o'], kind: 'string', usage: 'settings for this start: key=value,…' },
    { name: 'detach', aliases: ['d'], kind: 'bool', usage: 'run in the background, return when the worker is ready' },
  ],
  run,
};
