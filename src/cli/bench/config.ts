/** The settings that benchmarks go by: config.json's, without overrides. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig, type Config } from '../../config';
import { CliError } from '../command';
import type { Flags } from '../flags';
import { numberOf } from '../zygote/options';

/** Throws CliError when the directory is no worker's, CONFIG_INVALID when its config.json is wrong. */
export function benchConfig(olDir: string): Config {
  const path = join(olDir, 'config.json');
  if (!existsSync(path)) throw new CliError(`${olDir} is no worker directory: run ol worker init first`);
  return loadConfig(path).config;
}

/** A flag that counts something; throws CliError naming flag and value when it is no whole number in the range. */
export function countOf(flags: Flags, name: string, min: number, max: number): number {
  const count = numberOf(flags, name, min, max);
  if (!Number.isInteger(count)) throw new CliError(`--${name} must be a whole number, not ${count}`);
  return count;
}
