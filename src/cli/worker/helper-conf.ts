/** DIR/helper.conf. `ol worker init` writes it when it runs as root. Other users need the system's file. */
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Config, FileConfig } from '../../config';

/**
 * Range of the sandboxes' host ids in files that `init` writes, the same for users and groups. A helper takes up to
 * 4,194,304 ids (AG_UIDS_MAX in base/base.h), so that each zygote has ids of its own for its children. The range lies
 * above the ids of systemd and other container managers (at most 1,879,048,191), and below those of foreign images
 * (2,147,352,576) and 2^31, since some programs do not support larger ids.
 */
export const SANDBOX_IDS = { first: 2_000_000_000, count: 134_217_728 };

const IDS_LINE = `sandbox_uids ${SANDBOX_IDS.first} ${SANDBOX_IDS.count}`;

const below = (dir: string, path: string) => !relative(dir, path).startsWith('..');

/** The text of helper.conf for the worker in `olDir`. Pure. */
export function helperConfText(
  olDir: string,
  config: Pick<FileConfig, 'worker_dir' | 'Pkgs_dir' | 'sock_base_path'>,
  guest: string,
): string {
  const others = [config.worker_dir, config.Pkgs_dir, config.sock_base_path].filter((dir) => !below(olDir, dir));
  const roots = [...new Set([olDir, ...others])].map((dir) => `root ${dir}`);
  return [
    '# Read by the sandbox helper of this worker; see configs/helper.conf.',
    ...roots,
    IDS_LINE,
    `guest ${guest}`,
    '',
  ].join('\n');
}

/**
 * Makes a worker that root starts use DIR/helper.conf, unless its settings name another file.
 *
 * POLICY: directories of config.json that are below no root of the file are added, because worker_dir may be any path.
 * Sandbox ids are added to a file of an earlier version, which has none. Root could make the same changes by hand.
 */
export function withOwnHelperConf<T extends FileConfig | Config>(olDir: string, config: T): T {
  const path = join(olDir, 'helper.conf');
  if (process.getuid?.() !== 0 || config.argyle.helper_conf !== '' || !existsSync(path)) return config;
  const old = readFileSync(path, 'utf8');
  const text = /^\s*sandbox_uids\s/m.test(old) ? old : `${old.replace(/^\s*sandbox_[ug]id\s.*\n/gm, '')}${IDS_LINE}\n`;
  const roots = [...text.matchAll(/^\s*root\s+(\S.*?)\s*$/gm)].map((match) => match[1] ?? '');
  const dirs = [config.worker_dir, config.Pkgs_dir, config.sock_base_path];
  const missing = [...new Set(dirs)].filter((dir) => dir !== '' && !roots.some((root) => below(root, dir)));
  if (missing.length > 0 || text !== old) writeText(path, `${text}${missing.map((dir) => `root ${dir}\n`).join('')}`);
  return { ...config, argyle: { ...config.argyle, helper_conf: path } };
}

/** Writes the file. The helper accepts it only if root alone can change it. */
export function writeHelperConf(olDir: string, config: FileConfig, guest: string): void {
  writeText(join(olDir, 'helper.conf'), helperConfText(olDir, config, guest));
}

function writeText(path: string, text: string): void {
  rmSync(path, { force: true });
  writeFileSync(path, text, { mode: 0o644, flag: 'wx' });
  chmodSync(path, 0o644);
}
