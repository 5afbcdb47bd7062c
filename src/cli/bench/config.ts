/** The settings of the benchmarks: those of config.json, without overrides. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig, type Config } from '../../config';
import { CliError } from '../command';
import type { Flags, FlagSpec } from '../flags';
import { numberOf } from '../zygote/options';

const DEFAULT_SECONDS = 60;
const MAX_SECONDS = 86_400;
const MAX_TASKS = 10_000;

export const SECONDS_FLAG: FlagSpec = {
  name: 'seconds',
  aliases: ['s'],
  kind: 'string',
  value: String(DEFAULT_SECONDS),
  usage: 'time to measure, after the warmup; 0 means 60',
};

/** @param usual concurrency that the default value 0 stands for */
export function tasksFlag(usual: number): FlagSpec {
  return { name: 'tasks', aliases: ['t'], kind: 'string', value: '0', usage: `requests at a time; 0 means ${usual}` };
}

/** Measuring time, s. @throws CliError when it is not a number */
export function secondsOf(flags: Flags): number {
  return numberOf(flags, 'seconds', 0, MAX_SECONDS) || DEFAULT_SECONDS;
}

/** Number of concurrent requests. @throws CliError when it is not an integer */
export function tasksOf(flags: Flags, usual: number): number {
  return countOf(flags, 'tasks', 0, MAX_TASKS) || usual;
}

/** Reads a worker's config. @throws CliError for a directory without a worker; CONFIG_INVALID for a bad config.json */
export function benchConfig(olDir: string): Config {
  const path = join(olDir, 'config.json');
  if (!existsSync(path)) throw new CliError(`${olDir} is no worker directory: run ol worker init first`);
  return loadConfig(path).config;
}

/** The value of an integer flag. @throws CliError with flag and value when it is not an integer in the range */
export function countOf(flags: Flags, name: string, min: number, max: number): number {
  const count = numberOf(flags, name, min, max);
  if (!Number.isInteger(count)) throw new CliError(`--${name} must be a whole number, not ${count}`);
  return count;
}
