/** `ol worker up`: starts a worker, in the foreground or detached. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { applyOverrides, loadConfig, readJson } from '../../config';
import { CliError, type Command, type CommandContext } from '../command';
import { startDetached } from './process/detach';
import { IMAGE_FLAG, olDirOf, PATH_FLAG } from './flags';
import { runForeground } from './process/foreground';
import { withOwnHelperConf } from './helper-conf';
import { initWorker } from './init';
import { bringToStoppedClean, lenientConfig } from './process/stop';
import { workerState } from './process/pidfile';
import type { Predecessor } from '../services';
import { drainMs, endDraining, offered } from './process/takeover';
import { unpackBases } from './bases/tar-bases';

/** Writes config.json.overrides if there are options. Returns the path of the file to load. */
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
  const options = flags.string('options');
  const { config: loaded, warnings } = loadConfig(effectiveConfig(olDir, options));
  const config = withOwnHelperConf(olDir, loaded);
  const detach = flags.bool('detach');
  const { kind } = await workerState(workerDir);
  // POLICY: the serving process makes the takeover itself. The process that only starts it asks whether a takeover is
  // possible.
  let old: Predecessor | undefined;
  if (kind === 'Running' && workerDir === config.worker_dir) old = await offered(config, detach ? 0 : process.pid);
  if (old !== undefined && !detach) await endDraining(workerDir, drainMs(config));
  if (old === undefined && (kind === 'Running' || kind === 'StoppedDirty')) await bringToStoppedClean(olDir, services);
  await unpackBases(config, context);
  if (detach) {
    for (const warning of warnings) err(`warning: ${warning}\n`);
    return startDetached({ ...context, olDir, config, options, old: old?.pid });
  }
  return runForeground({ olDir, config, warnings, services, out, old });
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
