/** What must hold between settings before a worker may start. Pure; the strings are the contract's. */
import { isAbsolute } from 'node:path';
import type { Problem } from './decode';
import { show, type FileConfig } from './schema';

/** Every rule that the decoded settings break, in the order in which the original would find them. */
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
    // One sandbox must still fit while another is being evicted.
    const leastMb = 2 * Math.max(memMb, installerMb);
    if (config.mem_pool_mb < leastMb) {
      const detail = `current=${config.mem_pool_mb}, user_mem_mb=${memMb}, installer_mem_mb=${installerMb}`;
      complain('mem_pool_mb', config.mem_pool_mb, `memPoolMb must be at least ${leastMb} (${detail})`);
    }
  } else if (config.features.import_cache !== '') {
    complain(
      'features.import_cache',
      config.features.import_cache,
      'features.import_cache must be disabled for docker Sandbox',
    );
  }
  if (!isAbsolute(config.Pkgs_dir)) complain('Pkgs_dir', config.Pkgs_dir, 'Pkgs_dir cannot be relative');
  return problems;
}
