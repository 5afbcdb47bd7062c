/**
 * One function's log on disk: the current file `<name>.log` and the older file `<name>.log.1`. When the current file
 * reaches half of the size limit, it replaces the older file.
 */
import { appendFile, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isWhole } from './line';

/** Disk block size, bytes. Sizes are rounded up to blocks, so that many small files are counted correctly. */
const BLOCK_BYTES = 4096;

const blocks = (bytes: number): number => Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;

/** The function and the part that a log file belongs to; undefined for other files. */
export function partOf(file: string): { name: string; part: 'current' | 'older' } | undefined {
  const [, name, older] = /^(.+)\.log(\.1)?$/.exec(file) ?? [];
  return name === undefined ? undefined : { name, part: older === undefined ? 'current' : 'older' };
}

export class Ring {
  /** Size of each part, bytes. */
  readonly sizes = { current: 0, older: 0 };
  /** Time of the last write, ms. */
  usedMs = 0;
  private readonly current: string;
  private readonly older: string;
  /** The file ends with a partial line. */
  private torn = false;

  constructor(
    dir: string,
    name: string,
    /** Size limit of both files together, bytes. */
    private readonly maxBytes: number,
  ) {
    this.current = join(dir, `${name}.log`);
    this.older = `${this.current}.1`;
  }

  /** Disk use, bytes. */
  get bytes(): number {
    return blocks(this.sizes.current) + blocks(this.sizes.older);
  }

  /** Takes over an existing file. Its last line may be partial if its writer was killed. */
  found(part: 'current' | 'older', bytes: number): void {
    this.sizes[part] = bytes;
    if (part === 'current') this.torn = bytes > 0;
  }

  /**
   * Appends lines, each with its newline. Lines beyond half of the size limit are dropped, oldest first.
   * @returns bytes that were lost; all bytes when the disk accepts none
   */
  async append(lines: readonly string[]): Promise<number> {
    const half = Math.floor(this.maxBytes / 2);
    const kept: string[] = [];
    let [bytes, lost] = [0, 0];
    for (let i = lines.length - 1; i >= 0; i--) {
      const line = lines[i] ?? '';
      const length = Buffer.byteLength(line);
      if (lost > 0 || bytes + length > half) lost += length;
      else {
        kept.push(line);
        bytes += length;
      }
    }
    if (kept.length === 0) return lost;
    try {
      if (this.sizes.current + bytes > half && this.sizes.current > 0) await this.turn();
      await appendFile(this.current, `${this.torn ? '\n' : ''}${kept.reverse().join('')}`, { mode: 0o600 });
      this.sizes.current += bytes;
      this.torn = false;
      return lost;
    } catch {
      this.torn = true;
      this.sizes.current = (await stat(this.current).catch(() => undefined))?.size ?? 0;
      return lost + bytes;
    }
  }

  /** All complete lines, oldest first, without newlines. Never rejects: an unreadable part counts as empty. */
  async lines(): Promise<string[]> {
    const parts = await Promise.all([this.older, this.current].map((file) => readFile(file, 'utf8').catch(() => '')));
    return parts.flatMap((part) => part.split('\n').filter(isWhole));
  }

  /** Deletes both files. */
  async remove(): Promise<void> {
    await Promise.all([this.older, this.current].map((file) => rm(file, { force: true }).catch(() => undefined)));
    this.sizes.current = this.sizes.older = 0;
    this.torn = false;
  }

  private async turn(): Promise<void> {
    await rename(this.current, this.older);
    this.sizes.older = this.sizes.current;
    this.sizes.current = 0;
    this.torn = false;
  }
}
