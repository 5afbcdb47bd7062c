/**
 * Unpacks function archives. Every user who may upload can send an archive. No entry may therefore reach outside the
 * archive's directory, neither during unpacking nor when the files are read later.
 */
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import * as tar from 'tar';
import type { ReadEntry } from 'tar';
import { ArgyleError } from '../../../errors';

export interface ArchiveLimits {
  /** Largest sum of the sizes of all files, in bytes. */
  maxBytes: number;
  maxEntries: number;
}

/** Limits of an archive. Code alone is smaller, because packages are installed separately. */
export const ARCHIVE_LIMITS: ArchiveLimits = { maxBytes: 1 << 30, maxEntries: 20_000 };

/** Longest path of an entry and longest target of a link, in bytes. Linux accepts four times as much. */
const MAX_NAME_BYTES = 1024;
/** Deepest directory. */
const MAX_DEPTH = 64;
/** Largest extended header (pax, long names) of one entry, and of all entries together, in bytes. */
const MAX_META_BYTES = 64 * 1024;
const MAX_ALL_META_BYTES = 32 << 20;
/** Maximum number of bytes after the two empty blocks that end an archive. tar pads an archive to whole records. */
const MAX_TAIL_BYTES = 1 << 20;

const FILE_TYPES = new Set(['File', 'OldFile', 'ContiguousFile']);
const DIR_TYPES = new Set(['Directory', 'GNUDumpDir']);

function bad(message: string, cause?: unknown): ArgyleError {
  return new ArgyleError('LAMBDA_CODE', `cannot unpack function archive: ${message}`, { cause });
}

/** A name as errors show it. */
const shorten = (name: string): string => (name.length > 100 ? `${name.slice(0, 100)}…` : name);

/** Why unpacking failed. Errors of the file system have the path on the worker's disk; the entry's name replaces it. */
function whyFailed(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  // Node's form is `CODE: description, call 'path'`.
  const said = /\b(E[A-Z0-9]+: [^,]+), [a-z]+ '/.exec(thrown.message)?.[1] ?? thrown.message;
  const { entry } = thrown as { entry?: ReadEntry };
  return entry === undefined ? said : `entry "${shorten(entry.path)}": ${said}`;
}

/** Why a symbolic link at `entryPath` to `target` is refused; undefined when the target is inside the directory. */
export function linkRefusal(entryPath: string, target: string): string | undefined {
  if (target === '' || path.posix.isAbsolute(target)) return 'its target is not relative';
  const depth = path.posix.normalize(entryPath).split('/').length - 1;
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const named = parts.findIndex((part) => part !== '..');
  const ups = named === -1 ? parts.length : named;
  // A `..` after a name is refused. If the name is a link itself, the `..` could lead outside.
  if (parts.slice(ups).includes('..')) return 'its target has ".." behind a name';
  return ups > depth ? 'its target lies outside' : undefined;
}

/** Checks the entries of an archive and remembers the first error. */
class EntryGuard {
  fault: ArgyleError | undefined;
  private entries = 0;
  private bytes = 0;
  private inflatedBytes = 0;
  private metaBytes = 0;
  private tailBytes = 0;
  private ended = false;

  constructor(private readonly limits: ArchiveLimits) {}

  /** false: the entry is not unpacked, and the whole archive is refused. */
  readonly accept = (name: string, entry: ReadEntry): boolean => {
    if (this.fault !== undefined) return false;
    const refusal = this.refusal(name, entry);
    if (refusal === undefined) return true;
    this.fault = bad(refusal);
    return false;
  };

  /** Counts the decompressed bytes, including headers and padding. */
  inflated(bytes: number): void {
    this.inflatedBytes += bytes;
    if (this.ended) this.tailBytes += bytes;
    const { maxBytes, maxEntries } = this.limits;
    // Each entry has a header, padding, and perhaps an extended header of the same size.
    const most = maxBytes + 2048 * maxEntries + MAX_ALL_META_BYTES + MAX_TAIL_BYTES;
    if (this.inflatedBytes > most) this.fault ??= bad(`more than ${most} bytes once decompressed`);
    if (this.tailBytes > MAX_TAIL_BYTES) this.fault ??= bad(`more than ${MAX_TAIL_BYTES} bytes behind its end`);
  }

  /**
   * Watches the parser for extended headers, for headers that the parser skips because of their size, and for the
   * archive's end.
   */
  watch(parser: tar.Parser): void {
    parser.on('meta', (text: string) => {
      this.metaBytes += text.length;
      if (this.metaBytes > MAX_ALL_META_BYTES) this.fault ??= bad(`more than ${MAX_ALL_META_BYTES} bytes of headers`);
    });
    parser.on('ignoredEntry', (entry: ReadEntry) => {
      if (entry.meta) this.fault ??= bad(`an extended header has ${entry.size} bytes, limit ${MAX_META_BYTES}`);
    });
    parser.on('eof', () => (this.ended = true));
  }

  private refusal(name: string, entry: ReadEntry): string | undefined {
    this.entries++;
    this.bytes += entry.size;
    const shown = shorten(name);
    const longest = Math.max(Buffer.byteLength(name), Buffer.byteLength(entry.linkpath ?? ''));
    if (longest > MAX_NAME_BYTES) return `entry "${shown}" has a name of ${longest} bytes, limit ${MAX_NAME_BYTES}`;
    if (name.split('/').length > MAX_DEPTH) return `entry "${shown}" lies deeper than ${MAX_DEPTH} directories`;
    if (this.entries > this.limits.maxEntries) return `more than ${this.limits.maxEntries} entries`;
    if (this.bytes > this.limits.maxBytes) return `more than ${this.limits.maxBytes} bytes`;
    if (name.includes('\0')) return 'an entry name holds a NUL';
    if (path.posix.isAbsolute(name)) return `entry "${name}" has an absolute path`;
    if (name.split('/').includes('..')) return `entry "${name}" has ".." in its path`;
    if (FILE_TYPES.has(entry.type)) {
      // Sandboxes run as another user. Every file becomes readable. An executable file stays executable.
      entry.mode = ((entry.mode ?? 0) & 0o100) === 0 ? 0o644 : 0o755;
      return undefined;
    }
    if (DIR_TYPES.has(entry.type)) {
      entry.mode = 0o755;
      return undefined;
    }
    if (entry.type !== 'SymbolicLink') return `entry "${name}" is a ${entry.type}, not a file or directory`;
    const why = linkRefusal(name, entry.linkpath ?? '');
    return why === undefined ? undefined : `entry "${name}" is a link, and ${why}`;
  }
}

/** Options of both parsers of tar. inflate() has decompressed the archive, so the parsers must not decompress again. */
const PLAIN = { strict: true, brotli: false, zstd: false, maxMetaEntrySize: MAX_META_BYTES } as const;

/**
 * Unpacks a .tar.gz or a .tar into an existing empty directory. Regular files, directories, and links that stay inside
 * are accepted. An archive with any other entry is refused. After an error, files are left behind and the caller
 * removes `dir`. The function writes synchronously, so it must run in a thread of its own (thread.ts).
 * @throws ArgyleError LAMBDA_CODE
 */
export async function unpackArchive(data: Readable, dir: string, limits = ARCHIVE_LIMITS): Promise<void> {
  const guard = new EntryGuard(limits);
  const extractor = new tar.UnpackSync({
    ...PLAIN,
    cwd: dir,
    chmod: true,
    processUmask: 0o022,
    preserveOwner: false,
    noMtime: true,
    filter: (name, entry) => guard.accept(name, entry as ReadEntry),
  });
  await feed(data, extractor, 'close', guard);
}

const isGzip = (head: Buffer): boolean => head[0] === 0x1f && head[1] === 0x8b;

/** The bytes of an archive, decompressed if they are gzip. */
async function* inflate(data: Readable): AsyncGenerator<Buffer> {
  const chunks = data[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head = Buffer.alloc(0);
  while (head.length < 2) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const rest = async function* (): AsyncGenerator<Buffer> {
    yield head;
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
  };
  if (!isGzip(head)) {
    yield* rest();
    return;
  }
  const gunzip = createGunzip();
  // After an error of the source, pipeline() destroys gunzip, and the loop below throws this error.
  pipeline(rest(), gunzip, () => undefined);
  yield* gunzip as AsyncIterable<Buffer>;
}

/**
 * Writes an archive into one of tar's parsers until the end or the first error. These parsers are no streams of Node.
 */
async function feed(data: Readable, parser: tar.Parser, doneEvent: 'end' | 'close', guard: EntryGuard): Promise<void> {
  const faults = new Promise<never>((_resolve, reject) => parser.on('error', reject));
  faults.catch(() => undefined);
  const done = new Promise<void>((resolve) => parser.on(doneEvent, resolve));
  guard.watch(parser);
  let begun = false;
  try {
    for await (const chunk of inflate(data)) {
      guard.inflated(chunk.length);
      if (!begun && isGzip(chunk)) throw new Error('it is compressed twice');
      begun = true;
      const more = guard.fault === undefined && parser.write(chunk);
      if (guard.fault !== undefined) throw guard.fault;
      if (!more) await Promise.race([faults, new Promise<void>((resolve) => parser.once('drain', resolve))]);
    }
    parser.end();
    await Promise.race([faults, done]);
  } catch (thrown) {
    throw guard.fault ?? bad(whyFailed(thrown), thrown);
  }
  if (guard.fault !== undefined) throw guard.fault;
}

/**
 * Reads a small text file at the top of an unpacked archive's directory. A link is not followed.
 * @returns undefined when there is no such file
 * @throws ArgyleError LAMBDA_CODE when it is not a regular file or larger than maxBytes
 */
export async function readTopFile(dir: string, name: string, maxBytes: number): Promise<string | undefined> {
  const file = path.join(dir, name);
  const stat = await fs.lstat(file).catch((thrown: unknown) => {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  });
  if (stat === undefined) return undefined;
  if (!stat.isFile()) throw new ArgyleError('LAMBDA_CODE', `${name} in the function archive is not a regular file`);
  if (stat.size > maxBytes) {
    throw new ArgyleError('LAMBDA_CODE', `${name} in the function archive has ${stat.size} bytes, limit ${maxBytes}`);
  }
  return fs.readFile(file, 'utf8');
}

/**
 * readTopFile() for a path with folders. None of the folders may be a link.
 * @throws ArgyleError LAMBDA_CODE
 */
export async function readFileBelow(dir: string, name: string, maxBytes: number): Promise<string | undefined> {
  const folders = name.split('/').slice(0, -1);
  for (let depth = 1; depth <= folders.length; depth++) {
    const folder = folders.slice(0, depth).join('/');
    const stat = await fs.lstat(path.join(dir, folder)).catch(() => undefined);
    if (stat === undefined) return undefined;
    if (!stat.isDirectory()) throw new ArgyleError('LAMBDA_CODE', `${folder} in the function archive is no directory`);
  }
  return readTopFile(dir, name, maxBytes);
}

/**
 * Reads ol.yaml from an archive without unpacking it. The function also checks that the archive is complete and
 * acceptable.
 * @returns undefined when the archive has none
 * @throws ArgyleError LAMBDA_CODE
 */
export async function readFromArchive(
  data: Readable,
  wanted: string,
  maxBytes: number,
  limits = ARCHIVE_LIMITS,
): Promise<string | undefined> {
  const guard = new EntryGuard(limits);
  let text: string | undefined;
  const parser = new tar.Parser({
    ...PLAIN,
    filter: (name, entry) => guard.accept(name, entry as ReadEntry),
    onReadEntry: (entry) => {
      if (path.posix.normalize(entry.path) !== wanted || !FILE_TYPES.has(entry.type) || entry.size > maxBytes) {
        entry.resume();
        return;
      }
      const chunks: Buffer[] = [];
      entry.on('data', (chunk: Buffer) => chunks.push(chunk));
      entry.on('end', () => (text = Buffer.concat(chunks).toString('utf8')));
    },
  });
  await feed(data, parser, 'end', guard);
  return text;
}
