/** Surveys the files of an installed package. The files may be another user's; the survey follows no link. */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Properties of a package that its files show. */
export interface Survey {
  name: string;
  version: string;
  bytes: number;
}

/** Disk use, and name and version from the dist-info that pip writes last; undefined for an incomplete package. */
export async function survey(files: string): Promise<Survey | undefined> {
  if (!(await isDirectory(files))) return undefined;
  const info = (await readdir(files)).find((entry) => /\.(dist|egg)-info$/.test(entry));
  if (info === undefined) return undefined;
  const [, distribution = '', version = ''] = /^(.+?)-(\d[^-]*)(?:-py[\d.]+)?\.(?:dist|egg)-info$/.exec(info) ?? [];
  return { name: distribution, version, bytes: await diskUse(files) };
}

export async function isDirectory(path: string): Promise<boolean> {
  return lstat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** Disk use below `path` in bytes. Links are not followed; unreadable entries count as 0. */
async function diskUse(path: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    const child = join(path, entry.name);
    const stats = await lstat(child).catch(() => undefined);
    bytes += (stats?.blocks ?? 0) * 512 + (entry.isDirectory() ? await diskUse(child) : 0);
  }
  return bytes;
}
