/** DIR/helper.conf, which `ol worker init` writes when it runs as root; other users need the system's file. */
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { FileConfig } from '../../config';

/**
 * Host uid and gid of sandbox processes in files that `init` writes: below the range that Debian keeps for users'
 * subordinate ids (from 100000), above that of ordinary accounts (to 60000), so that no account has it.
 */
export const SANDBOX_ID = 64321;

const below = (dir: string, path: string) => !relative(dir, path).startsWith('..');

/** The text of helper.conf for the worker in `olDir`. Pure. */
export function helperConfText(
  olDir: string,
  config: Pick<FileConfig, 'worker_dir' | 'Pkgs_dir' | 'sock_base_path'>,
  guest: string,
): string {
  const others = [config.worker_dir, config.Pkgs_dir, config.sock_base_path].filter((dir) => !below(olDir, dir));
  const roots = [...new Set([olDir, ...others])].map((dir) => `root ${dir}`);
  const ids = [`sandbox_uid ${SANDBOX_ID}`, `sandbox_gid ${SANDBOX_ID}`];
  return [
    '# Read by the sandbox helper of this worker; see configs/helper.conf.',
    ...roots,
    ...ids,
    `guest ${guest}`,
    '',
  ].join('\n');
}

/** Writes the file; the helper accepts it only when root alone can change it. */
export function writeHelperConf(olDir: string, config: FileConfig, guest: string): void {
  const path = join(olDir, 'helper.conf');
  rmSync(path, { force: true });
  writeFileSync(path, helperConfText(olDir, config, guest), { mode: 0o644, flag: 'wx' });
  chmodSync(path, 0o644);
}
