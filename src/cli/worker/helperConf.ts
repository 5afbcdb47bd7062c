/** DIR/helper.conf, which `ol worker init` writes when it runs as root; other users need the system's file. */
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Config, FileConfig } from '../../config';

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

/**
 * Settings that name DIR/helper.conf for a worker that root starts, unless they name another: worker_dir may lie anywhere.
 * POLICY: directories that config.json names since are added to the file, since root could write it as well.
 */
export function withOwnHelperConf<T extends FileConfig | Config>(olDir: string, config: T): T {
  const path = join(olDir, 'helper.conf');
  if (process.getuid?.() !== 0 || config.argyle.helper_conf !== '' || !existsSync(path)) return config;
  const text = readFileSync(path, 'utf8');
  const roots = [...text.matchAll(/^\s*root\s+(\S.*?)\s*$/gm)].map((match) => match[1] ?? '');
  const dirs = [config.worker_dir, config.Pkgs_dir, config.sock_base_path];
  const missing = [...new Set(dirs)].filter((dir) => dir !== '' && !roots.some((root) => below(root, dir)));
  if (missing.length > 0) writeText(path, `${text}${missing.map((dir) => `root ${dir}\n`).join('')}`);
  return { ...config, argyle: { ...config.argyle, helper_conf: path } };
}

/** Writes the file; the helper accepts it only when root alone can change it. */
export function writeHelperConf(olDir: string, config: FileConfig, guest: string): void {
  writeText(join(olDir, 'helper.conf'), helperConfText(olDir, config, guest));
}

function writeText(path: string, text: string): void {
  rmSync(path, { force: true });
  writeFileSync(path, text, { mode: 0o644, flag: 'wx' });
  chmodSync(path, 0o644);
}
