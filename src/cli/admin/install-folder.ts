/** Packs a function's folder and uploads it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Progress, withProgress } from '../progress';
import type { Target } from '../target';
import { type ArchiveOptions, packLambda } from './archive';
import { checkEntry } from './check-entry';
import type { HostTools } from './host-tools';
import { lockFolder } from './locking';
import { upload, type UploadOptions } from './upload';

export interface FolderInstall extends UploadOptions {
  dir: string;
  /** File that becomes ol.yaml; '' for the folder's own. `requirements` is the same for requirements.txt. */
  olYaml?: string;
  requirements?: string;
  /** Tools that resolve the folder's requirements; undefined uploads the requirements unchanged. */
  tools: HostTools | undefined;
}

/**
 * Returns when the worker has stored the function and installed its packages.
 * @param report is called with lines about the progress
 * @throws CliError; ArgyleError for faults in the folder
 */
export function installFolder(
  target: Target,
  name: string,
  folder: FolderInstall,
  report: (line: string) => void,
): Promise<void> {
  return withProgress((progress) => install(target, name, folder, progress.around(report), progress));
}

async function install(
  target: Target,
  name: string,
  { dir, olYaml = '', requirements = '', tools, ...options }: FolderInstall,
  report: (line: string) => void,
  progress: Progress,
): Promise<void> {
  const staging = mkdtempSync(join(tmpdir(), 'ol-install-'));
  const warn = (text: string) => {
    report(`warning: ${text}\n`);
  };
  try {
    progress.step('resolving what it requires');
    const lock = async (folder: string) => (tools === undefined ? undefined : lockFolder(folder, { ...tools, warn }));
    const check: ArchiveOptions['check'] = async (folder, entryFile, env) => {
      if (tools !== undefined) await checkEntry(folder, entryFile, { env, version: tools.python.version, warn });
    };
    const { file, locked } = await packLambda({ dir, olYaml, requirements, lock, check, staging });
    if (locked?.requirements !== undefined) report(`${locked.pins.length} packages from ${locked.from}\n`);
    progress.step('installing', locked?.pins.length ?? 0);
    await upload(target, name, file, report, {
      ...options,
      onPackages: (count) => {
        progress.at(count);
      },
    });
    // The warning is printed after the upload only. A worker that refuses the packages gives the same reason in its
    // error.
    if (locked?.warning !== undefined) warn(locked.warning);
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}
