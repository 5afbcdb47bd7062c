/**
 * Packages on disk. `<Pkgs_dir>/<spec>` is in one of three states: absent; marked, which is `files/` and our marker;
 * unmarked, which the original worker made, or left behind half done. A package comes into being by one rename out of
 * `<Pkgs_dir>/.stage-…`, so an interrupted install is never taken for a whole one.
 *
 * The files belong to the sandbox's uid while the directories around them are the worker's own. So the worker can
 * rename a package, but only the helper can delete it, and nothing that a package holds may be followed or trusted.
 */
import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, open, readdir, readFile, rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

export const STAGE_PREFIX = '.stage-';
export const MARKER = 'argyle.json';
const FILES = 'files';

const MetaSchema = z.object({
  spec: z.string(),
  /** Name and version of what pip installed, from its dist-info directory; '' when it has none. */
  name: z.string(),
  version: z.string(),
  /** Requires-Dist lines whose markers hold. */
  deps: z.array(z.string()),
  topLevel: z.array(z.string()),
  /** Disk use of `files/` when it was installed. */
  bytes: z.number(),
  /** Hashes of which the installed archive has one; absent when it was installed without. */
  hashes: z.array(z.string()).optional(),
});

/** What is known of an installed package; the marker holds it as JSON. */
export type PackageMeta = z.infer<typeof MetaSchema>;

export interface StoredPackage {
  spec: string;
  bytes: number;
  /** When a function last asked for it, in ms since the epoch. */
  lastUsedMs: number;
}

export class PackageStore {
  constructor(
    private readonly pkgsDir: string,
    private readonly removeTree: (name: string) => Promise<void>,
  ) {}

  /** Whether `spec` is there, without reading the marker. */
  async has(spec: string): Promise<boolean> {
    return isDirectory(join(this.pkgsDir, spec, FILES));
  }

  /** Reads the marker; undefined when there is none, or none that makes sense. */
  async read(spec: string): Promise<PackageMeta | undefined> {
    const text = await readFile(join(this.pkgsDir, spec, MARKER), 'utf8').catch(() => undefined);
    if (text === undefined || !(await this.has(spec))) return undefined;
    try {
      const meta = MetaSchema.parse(JSON.parse(text));
      return meta.spec === spec ? meta : undefined;
    } catch {
      return undefined;
    }
  }

  /** Makes Pkgs_dir, which sandboxes of another uid must be able to pass. */
  async open(): Promise<void> {
    await mkdir(this.pkgsDir, { recursive: true, mode: 0o755 });
  }

  /** Makes an empty staging directory; returns its name below Pkgs_dir. The helper gives its `files` to the sandbox. */
  async stage(): Promise<string> {
    const name = stageName();
    for (const path of [join(this.pkgsDir, name), join(this.pkgsDir, name, FILES)]) {
      await mkdir(path);
      await chmod(path, 0o755); // whatever the umask
    }
    return name;
  }

  /**
   * Marks a staged package and moves it to its place. When another worker that shares Pkgs_dir was faster, its copy
   * stays and ours is removed.
   */
  async publish(stage: string, meta: PackageMeta): Promise<void> {
    const { mode } = await lstat(join(this.pkgsDir, stage, FILES));
    if (mode & 0o022) throw new Error(`the installer left ${FILES} writable by others`);
    await this.mark(stage, meta);
    try {
      await rename(join(this.pkgsDir, stage), join(this.pkgsDir, meta.spec));
    } catch (error) {
      if ((await this.read(meta.spec)) === undefined) throw error;
      await this.removeTree(stage);
    }
  }

  /** Writes the marker into a directory that has none. */
  async mark(name: string, meta: PackageMeta): Promise<void> {
    // wx never follows or truncates what an installer may have put there.
    const file = await open(join(this.pkgsDir, name, MARKER), 'wx', 0o644);
    try {
      await file.writeFile(JSON.stringify(meta));
    } finally {
      await file.close();
    }
  }

  /** Replaces the marker of an installed package. */
  async remark(spec: string, meta: PackageMeta): Promise<void> {
    const draft = `${MARKER}.${randomBytes(8).toString('hex')}`;
    await writeFile(join(this.pkgsDir, spec, draft), JSON.stringify(meta), { flag: 'wx', mode: 0o644 });
    await rename(join(this.pkgsDir, spec, draft), join(this.pkgsDir, spec, MARKER));
  }

  /** Where the files of a package or of a staging directory lie. */
  filesOf(name: string): string {
    return join(this.pkgsDir, name, FILES);
  }

  /** Removes a package for good: it is out of its place before the first file goes. */
  async remove(spec: string): Promise<void> {
    const grave = stageName();
    try {
      await rename(join(this.pkgsDir, spec), join(this.pkgsDir, grave));
    } catch (error) {
      // What the original made as root is not the worker's to rename.
      if (!isErrno(error, 'ENOENT')) await this.removeTree(spec);
      return;
    }
    await this.removeTree(grave);
  }

  /** Removes what interrupted installs of workers that no longer run have left. */
  async sweep(): Promise<void> {
    for (const name of await readdir(this.pkgsDir)) {
      if (!name.startsWith(STAGE_PREFIX)) continue;
      const pid = Number.parseInt(name.slice(STAGE_PREFIX.length), 10);
      if (pid === process.pid || !isRunning(pid)) await this.removeTree(name);
    }
  }

  /** Remembers on disk that a package is in use, for the eviction order after a restart. */
  async touch(spec: string): Promise<void> {
    const now = new Date();
    await utimes(join(this.pkgsDir, spec, MARKER), now, now).catch(() => undefined);
  }

  /** All marked packages. */
  async list(): Promise<StoredPackage[]> {
    const found: StoredPackage[] = [];
    for (const spec of await readdir(this.pkgsDir).catch(() => [])) {
      const meta = spec.startsWith('.') ? undefined : await this.read(spec);
      if (meta === undefined) continue;
      const { mtimeMs } = await lstat(join(this.pkgsDir, spec, MARKER));
      found.push({ spec, bytes: meta.bytes, lastUsedMs: mtimeMs });
    }
    return found;
  }

  /** Name and version from the dist-info that pip writes last, and disk use; undefined when nothing whole is there. */
  async survey(name: string): Promise<{ name: string; version: string; bytes: number } | undefined> {
    const files = join(this.pkgsDir, name, FILES);
    if (!(await isDirectory(files))) return undefined;
    const info = (await readdir(files)).find((entry) => /\.(dist|egg)-info$/.test(entry));
    if (info === undefined) return undefined;
    const [, distribution = '', version = ''] = /^(.+?)-(\d[^-]*)(?:-py[\d.]+)?\.(?:dist|egg)-info$/.exec(info) ?? [];
    return { name: distribution, version, bytes: await diskUse(files) };
  }
}

/** One path component, as the helper's names must be; 128 random bits, so that nobody can guess it. */
function stageName(): string {
  return `${STAGE_PREFIX}${process.pid}-${randomBytes(16).toString('hex')}`;
}

function isErrno(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code;
}

async function isDirectory(path: string): Promise<boolean> {
  return lstat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** Bytes on disk below `path`, links not followed; what cannot be read counts nothing. */
async function diskUse(path: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    const child = join(path, entry.name);
    const stats = await lstat(child).catch(() => undefined);
    bytes += (stats?.blocks ?? 0) * 512 + (entry.isDirectory() ? await diskUse(child) : 0);
  }
  return bytes;
}

function isRunning(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isErrno(error, 'EPERM');
  }
}
