/**
 * Registry in a directory: `<name>.tar.gz` at its root, with a `.attrs` sidecar. A file is written beside its place and
 * renamed.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ArgyleError, asArgyleError } from '../../errors';
import type { OpenObject, RegistryStore, StoredObject } from '../ports';

const SUFFIX = '.tar.gz';
/** Content of the file that check() writes: one disk block of 4 KiB. An empty file can be made even on a full disk. */
const PROBE = Buffer.alloc(4096);

/** Blob attributes as Go CDK's fileblob writes them. The original can therefore read a registry that Argyle wrote. */
const ATTRIBUTES = {
  'user.cache_control': '',
  'user.content_disposition': '',
  'user.content_encoding': '',
  'user.content_language': '',
  'user.content_type': 'application/gzip',
  'user.metadata': {},
  md5: null,
};

function isMissing(thrown: unknown): boolean {
  return (thrown as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

/** A text that changes when a file is replaced or touched. */
function versionOf(stat: BigIntStats): string {
  return `${stat.mtimeNs}-${stat.size}-${stat.ino}`;
}

export class FileStore implements RegistryStore {
  readonly bucket: string;

  /** @param dir absolute path of the registry directory */
  constructor(private readonly dir: string) {
    this.bucket = `file://${dir}`;
  }

  /** Opens the registry. Makes the directory if it is missing. @throws ArgyleError REGISTRY */
  static async create(dir: string): Promise<FileStore> {
    try {
      await fs.mkdir(dir, { recursive: true });
    } catch (thrown) {
      throw asArgyleError('REGISTRY', thrown);
    }
    return new FileStore(dir);
  }

  async list(): Promise<string[]> {
    try {
      const entries = await fs.readdir(this.dir, { withFileTypes: true });
      return entries
        .filter((entry) => entry.isFile() && entry.name.endsWith(SUFFIX))
        .map((entry) => entry.name.slice(0, -SUFFIX.length));
    } catch (thrown) {
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    try {
      return { version: versionOf(await fs.stat(this.file(name), { bigint: true })) };
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  async open(name: string): Promise<OpenObject | undefined> {
    let handle: fs.FileHandle | undefined;
    try {
      handle = await fs.open(this.file(name), constants.O_RDONLY);
      // Stat the open file: the name may already belong to a newer file.
      const stat = await handle.stat({ bigint: true });
      if (!stat.isFile()) throw new ArgyleError('REGISTRY', `${name}${SUFFIX} is not a regular file`);
      return { version: versionOf(stat), data: handle.createReadStream() };
    } catch (thrown) {
      await handle?.close();
      if (isMissing(thrown)) return undefined;
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  async put(name: string, source: string): Promise<void> {
    const target = this.file(name);
    const temp = this.temp();
    const tempAttrs = this.temp();
    try {
      await fs.writeFile(tempAttrs, JSON.stringify(ATTRIBUTES), { flag: 'wx' });
      const from = await fs.open(source, constants.O_RDONLY);
      const to = await fs.open(temp, 'wx', 0o644);
      await pipeline(from.createReadStream(), to.createWriteStream({ flush: true }));
      await fs.rename(tempAttrs, `${target}.attrs`);
      await fs.rename(temp, target);
    } catch (thrown) {
      await Promise.all([fs.rm(temp, { force: true }), fs.rm(tempAttrs, { force: true })]);
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  async remove(name: string): Promise<boolean> {
    try {
      await fs.rm(this.file(name));
    } catch (thrown) {
      if (isMissing(thrown)) return false;
      throw asArgyleError('REGISTRY', thrown);
    }
    await fs.rm(`${this.file(name)}.attrs`, { force: true });
    return true;
  }

  async check(): Promise<void> {
    const temp = this.temp();
    try {
      await fs.writeFile(temp, PROBE, { flag: 'wx' });
    } catch (thrown) {
      throw asArgyleError('REGISTRY', thrown);
    } finally {
      await fs.rm(temp, { force: true });
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  private file(name: string): string {
    return path.join(this.dir, `${name}${SUFFIX}`);
  }

  private temp(): string {
    return path.join(this.dir, `.upload-${randomBytes(8).toString('hex')}`);
  }
}
