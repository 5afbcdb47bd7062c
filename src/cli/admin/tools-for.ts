/** The tools that resolve requirements for the functions of one worker. */
import { existsSync, readFileSync } from 'node:fs';
import { baseConfig, runtimeNames } from '../../config/bases';
import { parseOlYaml } from '../../lambda/code/intake/ol-yaml';
import { CliError } from '../command';
import { olDirOf } from '../worker/flags';
import { lenientConfig } from '../worker/process/stop';
import { hostTools, type HostTools } from './host-tools';

/**
 * Finds the tools for a function of the worker in directory `path`. '' stands for the host's Python and pip
 * configuration.
 * @param olYaml path of the function's ol.yaml, whose `runtime` selects the Python; the file may be missing
 * @throws CliError when the worker has no such Python; ArgyleError LAMBDA_CONFIG for a malformed file
 */
export async function toolsFor(cwd: string, path: string, env: NodeJS.ProcessEnv, olYaml: string): Promise<HostTools> {
  const config = path === '' ? undefined : lenientConfig(olDirOf(cwd, path)).config;
  const runtime = existsSync(olYaml) ? parseOlYaml(readFileSync(olYaml, 'utf8')).base : undefined;
  if (runtime !== undefined && config !== undefined) {
    const names = runtimeNames(config);
    if (!names.includes(runtime)) {
      const known = `this worker has ${names.join(', ')}; ol worker base add makes another`;
      throw new CliError(`${olYaml}: runtime "${runtime}" is not known: ${known}`);
    }
    const own = baseConfig(config, runtime);
    if (own !== undefined) return hostTools(own.sock_base_path, config.pip_mirror, env);
  }
  const named = /^python(3\.\d+)$/.exec(runtime ?? '')?.[1];
  if (named !== undefined && config === undefined)
    return { ...(await hostTools('', '', env)), python: { version: named } };
  return hostTools(config?.sock_base_path ?? '', config?.pip_mirror ?? '', env);
}
