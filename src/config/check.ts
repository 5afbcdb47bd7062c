/** Checks across settings that must pass before a worker starts. Pure. The strings belong to the contract. */
import { isAbsolute } from 'node:path';
import { BASE_NAME } from './bases';
import { cidrFault, MAX_CIDRS } from './cidr';
import type { Problem } from './decode';
import { type FileConfig } from './schema';
import { show } from './setting';

/** Problems of each entry in the two prefix lists. */
function cidrProblems({ argyle, sandbox }: FileConfig): Problem[] {
  const problems: Problem[] = [];
  for (const key of ['network_deny', 'network_allow'] as const) {
    const field = `argyle.${key}`;
    const list = argyle[key];
    const complain = (value: unknown, text: string) => problems.push({ field, value: show(value), message: text });
    if (list.length > MAX_CIDRS)
      complain(list.length, `${field} must hold at most ${MAX_CIDRS} prefixes (current=${list.length})`);
    else if (list.length > 0 && sandbox === 'docker')
      complain(list, `${field} must be empty for docker Sandbox: use a network of the engine's`);
    else if (list.length > 0 && argyle.network === 'host')
      complain(list, `${field} must be empty when argyle.network is "host"`);
    else
      for (const entry of list) {
        const fault = cidrFault(entry, key === 'network_allow');
        if (fault !== '') complain(entry, `${field}: ${show(entry)} ${fault}`);
      }
  }
  return problems;
}

/** Problems of the further Pythons. */
function baseProblems({ bases }: FileConfig['argyle']): Problem[] {
  return Object.entries(bases).flatMap(([name, dir]) => {
    const field = `argyle.bases.${name.slice(0, 100)}`;
    const complain = (text: string) => [{ field, value: show(dir), message: `${field} ${text}` }];
    if (!BASE_NAME.test(name)) return complain(`has a name that does not match ${BASE_NAME.source}`);
    return isAbsolute(dir)
      ? []
      : complain(`must be an absolute path of a directory or a tar file (current=${show(dir)})`);
  });
}

/** All rules that the decoded settings violate, in the original's order. */
export function checkConfig(config: FileConfig): Problem[] {
  const problems: Problem[] = [];
  const complain = (field: string, value: unknown, message: string) =>
    problems.push({ field, value: show(value), message });

  if (!isAbsolute(config.worker_dir)) complain('worker_dir', config.worker_dir, 'Worker_dir cannot be relative');
  if (config.sandbox === 'sock') {
    const base = config.sock_base_path;
    if (base === '') complain('sock_base_path', base, 'must specify sock_base_path');
    else if (!isAbsolute(base)) complain('sock_base_path', base, 'sock_base_path cannot be relative');
    const memMb = config.limits.mem_mb;
    const installerMb = config.installer_limits.mem_mb;
    // A second sandbox must fit while one is being evicted.
    const leastMb = 2 * Math.max(memMb, installerMb);
    if (config.mem_pool_mb < leastMb) {
      const detail = `current=${config.mem_pool_mb}, user_mem_mb=${memMb}, installer_mem_mb=${installerMb}`;
      // The first part is the original's message, whose names are not those of the keys.
      const advice = 'raise mem_pool_mb, or lower limits.mem_mb and installer_limits.mem_mb: the pool must hold two';
      complain('mem_pool_mb', config.mem_pool_mb, `memPoolMb must be at least ${leastMb} (${detail}); ${advice}`);
    }
  } else if (config.features.import_cache !== '') {
    complain(
      'features.import_cache',
      config.features.import_cache,
      'features.import_cache must be disabled for docker Sandbox',
    );
  }
  problems.push(...cidrProblems(config), ...baseProblems(config.argyle));
  if (!isAbsolute(config.Pkgs_dir)) complain('Pkgs_dir', config.Pkgs_dir, 'Pkgs_dir cannot be relative');
  return problems;
}
