/** The settings that benchmarks go by: config.json's, without overrides. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig, type Config } from '../../config';
import { CliError } from '../command';

/** Throws CliError when the directory is no worker's, CONFIG_INVALID when its config.json is wrong. */
export function benchConfig(olDir: string): Config {
  const path = join(olDir, 'config.json');
  if (!existsSync(path)) throw new CliError(`${olDir} is no worker directory: run ol worker init first`);
  return loadConfig(path).config;
}
