/** Which server a command talks to. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { configFromTemplate, findTemplate, isObject, readJson } from '../config';
import { CliError } from './command';
import { urlOf } from './url';
import { lenientConfig } from './worker/stop';
import { olDirOf } from './worker/flags';

const DEFAULT_PORT = '5000';

export interface Target {
  /** `http://host:port` */
  url: string;
  /** Bearer token for all but invocations and probes, '' for none. */
  token: string;
}

/** The worker whose directory is `path`; without one, the worker that template.json describes, else the default's. */
export function workerTarget(cwd: string, path: string, env: NodeJS.ProcessEnv): Target {
  const token = env['ARGYLE_ADMIN_TOKEN'] ?? '';
  if (path === '') {
    const template = findTemplate(cwd);
    const port = template === undefined ? '' : configFromTemplate(readJson(template), cwd, 0).worker_port;
    return { url: urlOf('', port === '' ? DEFAULT_PORT : port), token };
  }
  const olDir = olDirOf(cwd, path);
  if (!existsSync(join(olDir, 'config.json'))) throw new CliError(`${olDir} is no worker directory: no config.json`);
  const { config, port } = lenientConfig(olDir);
  const own = config?.argyle.admin_token ?? '';
  return { url: urlOf(config?.worker_url ?? '', port), token: token === '' ? own : token };
}

/** The header that carries the token; none without one. */
export function authorization({ token }: Target): Record<string, string> {
  return token === '' ? {} : { authorization: `Bearer ${token}` };
}

/** The boss of the original, whose port boss.json in the working directory tells. */
export function bossTarget(cwd: string, env: NodeJS.ProcessEnv): Target {
  const path = join(cwd, 'boss.json');
  const json: unknown = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
  const port = isObject(json) ? Object.entries(json).find(([key]) => key.toLowerCase() === 'boss_port')?.[1] : '';
  const url = urlOf('', typeof port === 'string' && port !== '' ? port : DEFAULT_PORT);
  return { url, token: env['ARGYLE_ADMIN_TOKEN'] ?? '' };
}
