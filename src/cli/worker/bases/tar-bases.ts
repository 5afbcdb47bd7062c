/**
 * Bases that config.json names by a tar file. `ol worker up` unpacks each file once, and again when the file has
 * changed.
 */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../../../config';
import { baseRoot, basesDir, isTar } from '../../../config/bases';
import type { CommandContext } from '../../command';
import { makeRoot } from './bases';

/**
 * Makes a root directory for each base that is a tar file. When a file has changed, the packages installed for its old
 * contents are deleted.
 * @throws CliError for a file that cannot be unpacked, has no Python, or has another Python than its name says
 */
export async function unpackBases(config: Config, context: Pick<CommandContext, 'cwd' | 'env' | 'err'>): Promise<void> {
  for (const [name, file] of Object.entries(config.argyle.bases)) {
    const root = baseRoot(config, name);
    if (root === undefined || !isTar(file)) continue;
    const stampFile = join(basesDir(config), `.${name}.tar`);
    const { size, mtimeMs } = statSync(file);
    const stamp = `${file}\n${size} ${mtimeMs}\n`;
    if (statSync(root, { throwIfNoEntry: false }) !== undefined && readOr(stampFile) === stamp) continue;
    context.err(`unpacking ${file} for ${name}\n`);
    rmSync(root, { recursive: true, force: true });
    await makeRoot(root, name, file, context);
    writeFileSync(stampFile, stamp);
  }
}

function readOr(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
