/** Selects the server of a command. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { configFromTemplate, findTemplate, isObject, readJson } from '../config';
import { CliError } from './command';
import { urlOf } from './url';
import { lenientConfig } from './worker/process/stop';
import { olDirOf } from './worker/flags';

const DEFAULT_PORT = '5000';

export interface Target {
  /** `http://host:port` */
  url: string;
  /** Bearer token for all requests except invocations and probes; '' for none. */
  token: string;
}

/** The worker in directory `path`. Without a path: the worker of template.json, else the one with default settings. */
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

/** The header with the token; empty without a token. */
export function authorization({ token }: Target): Record<string, string> {
  return token === '' ? {} : { authorization: `Bearer ${token}` };
}

/** The original's boss. boss.json in the working directory contains its port. */
export function bossTarget(cwd: string, env: NodeJS.ProcessEnv): Target {
  const path = join(cwd, 'boss.json');
  const json: unknown = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {};
  const port = isObject(json) ? Object.entries(json).find(([key]) => key.toLowerCase() === 'boss_port')?.[1] : '';
  const url = urlOf('', typeof port === 'string' && port !== '' ? port : DEFAULT_PORT);
  return { url, token: env['ARGYLE_ADMIN_TOKEN'] ?? '' };
}
