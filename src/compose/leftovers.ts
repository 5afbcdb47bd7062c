/** Removes what a killed worker left outside of its directory. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config';
import { baseConfig } from '../config/bases';
import type { RootLog } from '../log';
import { removeMemoryDir } from '../sandbox/memory-dir';
import { findSetup, helperStarter, nameFileOf } from './helper';

/** Starts a helper and ends it at once: it removes the cgroups and processes that a killed one left. */
export async function cleanupLeftovers(config: Config, log: RootLog): Promise<void> {
  // The helper binds these, though no sandbox will use them.
  for (const dir of [join(config.worker_dir, 'code'), config.Pkgs_dir]) mkdirSync(dir, { recursive: true });
  const start = await helperStarter(findSetup(config), config, log);
  await (await start()).close();
  removeMemoryDir(config.worker_dir);
  for (const name of Object.keys(config.argyle.bases)) await cleanupBase(config, log, name);
}

/** The same for a base that was started once; the others left nothing. */
async function cleanupBase(config: Config, log: RootLog, name: string): Promise<void> {
  const settings = baseConfig(config, name);
  if (settings === undefined || !existsSync(nameFileOf(config, name))) return;
  mkdirSync(settings.Pkgs_dir, { recursive: true });
  const start = await helperStarter(findSetup(settings), settings, log, name);
  await (await start()).close();
  removeMemoryDir(`${config.worker_dir}/${name}`);
}
