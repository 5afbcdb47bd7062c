/** The tools that resolve requirements for the functions of one worker. */
import { olDirOf } from '../worker/flags';
import { lenientConfig } from '../worker/stop';
import { hostTools, type HostTools } from './host-tools';

/** The tools for functions of the worker whose directory is `path`; '' for the host's Python and pip configuration. */
export async function toolsFor(cwd: string, path: string, env: NodeJS.ProcessEnv): Promise<HostTools> {
  const config = path === '' ? undefined : lenientConfig(olDirOf(cwd, path)).config;
  return hostTools(config?.sock_base_path ?? '', config?.pip_mirror ?? '', env);
}
