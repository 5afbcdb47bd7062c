/**
 * Copies a tree of an installer, so that the copy belongs to the caller and contains only files, directories and links
 * within the tree.
 *
 * Safety: the source is untrusted. No process writes to it any more (InstallerSandbox.run). A process that still wrote
 * to the source could change the copied contents. It could not lead the copy to another place, because every step uses
 * an open directory and follows no link.
 *
 * The copy has the modes 0755 and 0644, so it has no setuid, setgid or sticky bit, and others cannot write to it. It
 * keeps the modification time of each file, since compiled modules refer to it. It has no extended attributes, no ACLs,
 * and no hard links. Devices, fifos, sockets and links that leave the tree are left out.
 */
import { constants as C } from 'node:fs';
import * as fs from 'node:fs';

/** Deepest accepted tree. Each level holds two descriptors. */
export const MAX_DEPTH = 64;
const CHUNK = 1 << 18;
const DIR_MODE = 0o755;
const FILE_MODE = 0o644;
const RUNNABLE = 0o100;
const OPEN_DIR = C.O_RDONLY | C.O_DIRECTORY | C.O_NOFOLLOW;
// Without O_NONBLOCK, opening a fifo, or a file with a lease, would block until another process acts.
const OPEN_FILE = C.O_RDONLY | C.O_NOFOLLOW | C.O_NONBLOCK;
const SLASH = 0x2f;
/** Names as bytes. The types lack this option. */
const LISTING = { encoding: 'buffer' as BufferEncoding, bufferSize: 256 };

export interface CopyJob {
  from: string;
  /** Must not exist. */
  to: string;
  /** Limit of all files together. Holes of sparse files count. */
  maxBytes: number;
  maxEntries: number;
  /** Users that may own the source; any user when absent. */
  owners?: readonly number[];
}

export interface CopyResult {
  /** Size of all files. */
  bytes: number;
  entries: number;
  /** Number of entries that were left out. */
  dropped: number;
}

/** The tree may not be copied. */
export class TreeRefused extends Error {}

/**
 * @param stopped is polled; true ends the copy
 * @throws TreeRefused, errors of the file system; a partial copy stays at `to`
 */
export function copyTree(job: CopyJob, stopped: () => boolean = () => false): CopyResult {
  return new Copier(job, stopped).run();
}

class Copier {
  private readonly done: CopyResult = { bytes: 0, entries: 0, dropped: 0 };
  private readonly buffer = Buffer.allocUnsafe(CHUNK);

  constructor(
    private readonly job: CopyJob,
    private readonly stopped: () => boolean,
  ) {}

  run(): CopyResult {
    const { from, to } = this.job;
    try {
      this.directory(Buffer.from(from), Buffer.from(to), 0);
    } catch (cause) {
      // The installer may have removed permissions that a non-root worker needs.
      if ((cause as NodeJS.ErrnoException).code !== 'EACCES') throw cause;
      throw new TreeRefused('it holds files or directories that the worker may not read', { cause });
    }
    return this.done;
  }

  /** Copies the contents of one directory, and closes `to`. */
  private inside(from: number, to: number, depth: number): void {
    try {
      this.judgeOwner(fs.fstatSync(from));
      if (depth > MAX_DEPTH) throw new TreeRefused(`it has more than ${MAX_DEPTH} levels of directories`);
      fs.fchmodSync(to, DIR_MODE); // independent of the umask
      for (const name of this.names(from)) this.entry(beside(from, name), beside(to, name), depth);
    } finally {
      fs.closeSync(to);
    }
  }

  /** Lists at most one name more than allowed, since a directory may have any number. */
  private names(dir: number): Buffer[] {
    const names: Buffer[] = [];
    const listing = fs.opendirSync(`/proc/self/fd/${dir}`, LISTING);
    try {
      for (let entry = listing.readSync(); entry !== null; entry = listing.readSync()) {
        if (++this.done.entries > this.job.maxEntries)
          throw new TreeRefused(`it makes more than ${this.job.maxEntries} files`);
        names.push(entry.name as unknown as Buffer);
      }
    } finally {
      listing.closeSync();
    }
    return names;
  }

  private entry(from: Buffer, to: Buffer, depth: number): void {
    if (this.stopped()) throw new TreeRefused('it was stopped');
    const stats = fs.lstatSync(from);
    this.judgeOwner(stats);
    if (stats.isFile()) this.file(from, to);
    else if (stats.isDirectory()) this.directory(from, to, depth + 1);
    else if (stats.isSymbolicLink()) this.link(from, to, depth);
    else this.done.dropped++;
  }

  private directory(from: Buffer, to: Buffer, depth: number): void {
    const fd = fs.openSync(from, OPEN_DIR);
    try {
      fs.mkdirSync(to, DIR_MODE);
      this.inside(fd, fs.openSync(to, OPEN_DIR), depth);
    } finally {
      fs.closeSync(fd);
    }
  }

  private link(from: Buffer, to: Buffer, depth: number): void {
    const target = fs.readlinkSync(from, { encoding: 'buffer' });
    if (staysWithin(target, depth)) fs.symlinkSync(target, to);
    else this.done.dropped++;
  }

  private file(from: Buffer, to: Buffer): void {
    const source = fs.openSync(from, OPEN_FILE);
    try {
      const stats = fs.fstatSync(source);
      this.judgeOwner(stats);
      if (!stats.isFile()) throw new TreeRefused('it changes while it is copied');
      this.room(stats.size);
      const target = fs.openSync(to, 'wx', FILE_MODE);
      try {
        this.content(source, target, stats.size);
        fs.fchmodSync(target, stats.mode & RUNNABLE ? DIR_MODE : FILE_MODE);
        fs.futimesSync(target, stats.atimeMs / 1000, stats.mtimeMs / 1000);
      } finally {
        fs.closeSync(target);
      }
      this.done.bytes += stats.size;
    } finally {
      fs.closeSync(source);
    }
  }

  /** Copies at most `size` bytes. The caller has checked that this much fits. */
  private content(source: number, target: number, size: number): void {
    for (let left = size; left > 0;) {
      if (this.stopped()) throw new TreeRefused('it was stopped');
      const length = fs.readSync(source, this.buffer, 0, Math.min(left, CHUNK), null);
      if (length === 0) return;
      for (let at = 0; at < length;) at += fs.writeSync(target, this.buffer, at, length - at);
      left -= length;
    }
  }

  private room(bytes: number): void {
    if (this.done.bytes + bytes > this.job.maxBytes)
      throw new TreeRefused(`it takes more than ${Math.floor(this.job.maxBytes / (1 << 20))} MB of disk`);
  }

  private judgeOwner({ uid }: fs.Stats): void {
    const { owners } = this.job;
    if (owners !== undefined && !owners.includes(uid)) throw new TreeRefused(`user ${uid} owns some of it`);
  }
}

/** The path of a name in an open directory. Names are bytes and need not be valid text. */
function beside(dir: number, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${dir}/`), name]);
}

/**
 * Whether a link points into its tree. Pure. The target may first go up, at most to the tree's root, and then down. On
 * the way down it may pass other links of the tree, which all stay within the tree. A `..` after a name is refused: the
 * name may be such a link, and the text does not tell where the link leads.
 * @param depth number of directories between the tree's root and the link
 */
export function staysWithin(target: Buffer, depth: number): boolean {
  if (target.length === 0 || target[0] === SLASH) return false;
  const parts = target
    .toString('latin1')
    .split('/')
    .filter((part) => part !== '' && part !== '.');
  let up = 0;
  while (parts[up] === '..') up++;
  return up <= depth && !parts.slice(up).includes('..');
}
