/**
 * The two places of a worker directory (docs/adr/0013). A place has the files of one worker: code, views, scratch, and
 * the name of its cgroup. During a takeover two workers run, so there are two places: worker_dir itself, and a
 * directory in it. The home is worker_dir. It has the files that identify the running worker, and all files that
 * outlive a worker.
 */
import { join } from 'node:path';
import type { Config } from './types';

/** Name of the second place's directory in worker_dir. */
export const SECOND_PLACE = 'argyle.second';

/** The configured worker_dir. */
export const homeOf = ({ home, worker_dir: dir }: Pick<Config, 'home' | 'worker_dir'>): string => home ?? dir;

/** The settings of a worker in the first or second place. */
export function inPlace<T extends Pick<Config, 'home' | 'worker_dir'>>(config: T, second: boolean): T {
  const home = homeOf(config);
  if (second) return { ...config, home, worker_dir: join(home, SECOND_PLACE) };
  const first = { ...config, worker_dir: home };
  delete first.home;
  return first;
}

/** The settings of both places. */
export const bothPlaces = (config: Config): Config[] => [inPlace(config, false), inPlace(config, true)];
