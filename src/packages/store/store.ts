/**
 * Packages on disk; packages-dir.ts shows the layout. A package exists when its link in Pkgs_dir points to a place in
 * the store. It is published by one rename out of `.stage-…` and then by its link, so an interrupted install never
 * counts as a package. A directory in place of the link is foreign: it is the original worker's, or an earlier
 * version's.
 *
 * Published files belong to the worker. Foreign directories and `files` in a staging directory belong to others. The
 * worker can rename them, but only the helper can delete them. Nothing in them may be followed or trusted.
 */
import { randomBytes } from 'node:crypto';
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { linkTo, openPackagesDir, placeIn, storeOf } from './packages-dir';
import { isDirectory } from './survey';

export const STAGE_PREFIX = '.stage-';
export const MARKER = 'argyle.json';
const FILES = 'files';
/** Directory in a staging directory for the files to publish. */
const FINISHED = 'package';
/** POLICY: a place gets its link within milliseconds. A place without a link for this time is a leftover, ms. */
const UNLINKED_MS = 60_000;

const MetaSchema = z.object({
  spec: z.string(),
  /** Name and version of the installed package, from its dist-info directory; '' without one. */
  name: z.string(),
  version: z.string(),
  /** Requires-Dist lines whose markers are true. */
  deps: z.array(z.string()),
  topLevel: z.array(z.string()),
  /** Disk use of `files/` after the install, bytes. */
  bytes: z.number(),
  /** Accepted hashes, one of which the installed archive has; absent without hashes. */
  hashes: z.array(z.string()).optional(),
});

/** Metadata of an installed package. The marker file contains it as JSON. */
export type PackageMeta = z.infer<typeof MetaSchema>;

export interface StoredPackage {
  spec: string;
  bytes: number;
  /** Time of the last request by a function, ms since the epoch. */
  lastUsedMs: number;
}

export class PackageStore {
  /** Cached places of packages. */
  private readonly places = new Map<string, string>();

  constructor(
    private readonly pkgsDir: string,
    private readonly removeTree: (name: string) => Promise<void>,
  ) {}

  /** Whether `spec` is installed. Does not read the marker. */
  async has(spec: string): Promise<boolean> {
    return (await this.find(spec)) !== undefined && isDirectory(this.filesOf(spec));
  }

  /** The name of the package's directory in the store, from the cache. */
  placeOf(spec: string): string | undefined {
    return this.places.get(spec);
  }

  /** Reads the marker; undefined when the package is not installed or its marker is invalid. */
  async read(spec: string): Promise<PackageMeta | undefined> {
    return (await this.has(spec)) ? this.marker(spec) : undefined;
  }

  /** Creates Pkgs_dir. @throws as openPackagesDir() */
  open(): void {
    openPackagesDir(this.pkgsDir);
  }

  /** Creates a staging directory with an empty `files`, which the helper gives to the sandbox. Returns its name. */
  async stage(): Promise<string> {
    const name = stageName();
    for (const path of [join(this.pkgsDir, name), this.madeIn(name)]) {
      await mkdir(path);
      await chmod(path, 0o755); // independent of the umask
    }
    return name;
  }

  /** The directory that the installer writes to. */
  madeIn(stage: string): string {
    return join(this.pkgsDir, stage, FILES);
  }

  /** The directory of the files to publish. */
  finishedIn(stage: string): string {
    return join(this.pkgsDir, stage, FINISHED, FILES);
  }

  /** Creates and returns the directory of finishedIn(). */
  async finishing(stage: string): Promise<string> {
    const dir = join(this.pkgsDir, stage, FINISHED);
    await mkdir(dir);
    await chmod(dir, 0o755);
    return this.finishedIn(stage);
  }

  /**
   * Marks a finished package and moves it to a random, unguessable place in the store. If another worker with the same
   * Pkgs_dir was faster, its copy stays and this copy stays in the staging directory.
   */
  async publish(stage: string, meta: PackageMeta): Promise<void> {
    const { spec } = meta;
    const finished = join(this.pkgsDir, stage, FINISHED);
    await writeFile(join(finished, MARKER), JSON.stringify(meta), { flag: 'wx', mode: 0o644 });
    const place = randomBytes(16).toString('hex');
    await rename(finished, join(storeOf(this.pkgsDir), place));
    try {
      await this.link(spec, place);
    } catch (error) {
      await rename(join(storeOf(this.pkgsDir), place), finished);
      if (!isErrno(error, 'EEXIST')) throw error;
    }
    if (!(await this.has(spec))) throw new Error('it was deleted as soon as it was there');
  }

  /** @throws EEXIST when the spec is already installed */
  private async link(spec: string, place: string): Promise<void> {
    const path = join(this.pkgsDir, spec);
    await symlink(linkTo(place), path).catch(async (error: unknown) => {
      if (!isErrno(error, 'EEXIST') || (await this.read(spec)) !== undefined) throw error;
      await this.remove(spec); // a foreign or incomplete package
      await symlink(linkTo(place), path);
    });
  }

  /** Replaces the marker of an installed package. */
  async rewriteMarker(spec: string, meta: PackageMeta): Promise<void> {
    const draft = `${MARKER}.${randomBytes(8).toString('hex')}`;
    await writeFile(join(this.pkgsDir, spec, draft), JSON.stringify(meta), { flag: 'wx', mode: 0o644 });
    await rename(join(this.pkgsDir, spec, draft), join(this.pkgsDir, spec, MARKER));
  }

  /** The directory of a package's files. */
  filesOf(spec: string): string {
    return join(this.pkgsDir, spec, FILES);
  }

  /** The files of a foreign directory in a package's place; undefined when there is none. */
  async foreign(spec: string): Promise<string | undefined> {
    return (await isDirectory(join(this.pkgsDir, spec))) ? this.filesOf(spec) : undefined;
  }

  /** Removes a package for good. Renames it first, so that no partly deleted package is visible. */
  async remove(spec: string): Promise<void> {
    const place = await this.find(spec);
    if (place === undefined) return this.moveToTrash(join(this.pkgsDir, spec), spec);
    await unlink(join(this.pkgsDir, spec));
    this.places.delete(spec);
    await this.moveToTrash(join(storeOf(this.pkgsDir), place));
  }

  /** Renames a directory and deletes it. If the rename fails, deletes it in place. */
  private async moveToTrash(path: string, name?: string): Promise<void> {
    const trash = stageName();
    try {
      await rename(path, join(this.pkgsDir, trash));
    } catch (error) {
      // The worker may not rename directories that the original made as root.
      if (!isErrno(error, 'ENOENT') && name !== undefined) await this.removeTree(name);
      return;
    }
    await this.removeTree(trash);
  }

  /** Removes leftovers of interrupted installs of workers that have ended. @param nowMs since the epoch */
  async sweep(nowMs = Date.now()): Promise<void> {
    const linked = new Set<string>();
    for (const name of await readdir(this.pkgsDir)) {
      if (name.startsWith(STAGE_PREFIX)) {
        const pid = Number.parseInt(name.slice(STAGE_PREFIX.length), 10);
        if (pid === process.pid || !isRunning(pid)) await this.removeTree(name);
      } else {
        linked.add((await this.find(name)) ?? '');
      }
    }
    for (const place of await readdir(storeOf(this.pkgsDir))) {
      if (linked.has(place)) continue;
      const path = join(storeOf(this.pkgsDir), place);
      const changedMs = await lstat(path).then(
        ({ ctimeMs }) => ctimeMs,
        () => Infinity,
      );
      if (nowMs - changedMs > UNLINKED_MS) await this.moveToTrash(path);
    }
  }

  /** Records on disk that a package is in use, for the eviction order after a restart. */
  async touch(spec: string): Promise<void> {
    const now = new Date();
    await utimes(join(this.pkgsDir, spec, MARKER), now, now).catch(() => undefined);
  }

  /** All packages with a marker, including those of earlier versions. */
  async list(): Promise<StoredPackage[]> {
    const found: StoredPackage[] = [];
    for (const spec of await readdir(this.pkgsDir).catch(() => [])) {
      const meta = spec.startsWith('.') ? undefined : await this.marker(spec);
      if (meta === undefined) continue;
      const { mtimeMs } = await lstat(join(this.pkgsDir, spec, MARKER));
      found.push({ spec, bytes: meta.bytes, lastUsedMs: mtimeMs });
    }
    return found;
  }

  /** Reads the package's link. */
  private async find(spec: string): Promise<string | undefined> {
    const place = placeIn(await readlink(join(this.pkgsDir, spec)).catch(() => ''));
    if (place === undefined) this.places.delete(spec);
    else this.places.set(spec, place);
    return place;
  }

  private async marker(spec: string): Promise<PackageMeta | undefined> {
    try {
      const meta = MetaSchema.parse(JSON.parse(await readFile(join(this.pkgsDir, spec, MARKER), 'utf8')));
      return meta.spec === spec ? meta : undefined;
    } catch {
      return undefined;
    }
  }
}

/** One path component, as the helper requires. Its 128 random bits make it unguessable. */
function stageName(): string {
  return `${STAGE_PREFIX}${process.pid}-${randomBytes(16).toString('hex')}`;
}

function isErrno(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code;
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
