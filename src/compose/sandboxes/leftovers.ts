/** Removes processes and cgroups that a killed worker left outside of its directory. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../config';
import { baseConfig } from '../../config/bases';
import { bothPlaces } from '../../config/places';
import type { RootLog } from '../../log';
import { removeMemoryDir } from '../../sandbox/slot/memory-dir';
import { findSetup, helperStarter, nameFileOf } from './helper';

/** Starts a helper and ends it at once. A starting helper removes the cgroups and processes of a killed helper. */
export async function cleanupLeftovers(config: Config, log: RootLog): Promise<void> {
  for (const place of bothPlaces(config)) if (existsSync(place.worker_dir)) await cleanupPlace(place, log);
}

async function cleanupPlace(config: Config, log: RootLog): Promise<void> {
  // The helper binds this directory at its start, although no sandbox uses the directory here.
  mkdirSync(join(config.worker_dir, 'code'), { recursive: true });
  const start = await helperStarter(findSetup(config), config, log);
  await (await start()).close();
  removeMemoryDir(config.worker_dir);
  for (const name of Object.keys(config.argyle.bases)) await cleanupBase(config, log, name);
}

/** Does the same for a base that was started. A base that was never started left nothing. */
async function cleanupBase(config: Config, log: RootLog, name: string): Promise<void> {
  const settings = baseConfig(config, name);
  if (settings === undefined || !existsSync(nameFileOf(config, name))) return;
  const start = await helperStarter(findSetup(settings), settings, log, name);
  await (await start()).close();
  removeMemoryDir(`${config.worker_dir}/${name}`);
}
