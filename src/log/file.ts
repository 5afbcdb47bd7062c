/**
 * worker.out with a size limit. The process inherits the file as its stdout. When the file is too large, its contents
 * are copied to a file beside it and the file is truncated. It is not renamed, since other writers to stdout would go
 * on writing to the renamed file.
 */
import {
  appendFileSync,
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { copyFile } from 'node:fs/promises';

/** Time between two size checks, ms. Other writers may append to the file, too. */
const LOOK_EVERY_MS = 10_000;
/** Share of the size limit; after this many bytes the size is checked again. */
const LOOK_SHARE = 1 / 16;

export interface LogFileOptions {
  /** Descriptor in append mode. */
  fd: number;
  file: string;
  /** Size limit of the file, bytes; 0 for no limit. */
  maxBytes: number;
  /** Number of copies to keep. `<file>.1` is the newest. */
  keep: number;
}

/** Whether a descriptor refers to this file. */
export function isOpenAs(fd: number, file: string): boolean {
  try {
    const [open, named] = [fstatSync(fd), statSync(file)];
    return open.isFile() && open.dev === named.dev && open.ino === named.ino;
  } catch {
    return false;
  }
}

export class LogFile {
  private readonly timer: NodeJS.Timeout;
  private unlooked = 0;
  private lost = 0;
  /** The file ends with a partial line, because the disk was full. */
  private torn = false;
  private rotating: Promise<void> | undefined;

  constructor(private readonly options: LogFileOptions) {
    this.timer = setInterval(() => {
      this.look();
    }, LOOK_EVERY_MS).unref();
  }

  /**
   * Writes a line synchronously. Never throws. Lines are lost while the disk is full; the next line that fits reports
   * their number.
   */
  write(line: string): void {
    const note = this.lost === 0 ? '' : `${JSON.stringify({ level: 40, msg: `${this.lost} log lines were lost` })}\n`;
    const data = Buffer.from(`${this.torn ? '\n' : ''}${note}${line}`);
    let written = 0;
    try {
      while (written < data.length) written += writeSync(this.options.fd, data, written);
      this.lost = 0;
      this.torn = false;
    } catch {
      this.lost++;
      this.torn ||= written > 0;
    }
    this.unlooked += line.length;
    if (this.unlooked > this.options.maxBytes * LOOK_SHARE) this.look();
  }

  /** Resolves when no copy is in progress. */
  async settled(): Promise<void> {
    await this.rotating;
  }

  close(): Promise<void> {
    clearInterval(this.timer);
    return this.settled();
  }

  private look(): void {
    const { fd, maxBytes } = this.options;
    this.unlooked = 0;
    if (maxBytes === 0 || this.rotating !== undefined || fstatSync(fd).size <= maxBytes) return;
    this.rotating = this.rotate().finally(() => (this.rotating = undefined));
  }

  /** Never rejects. POLICY: if the copy fails, that part of the log is lost, since the size limit is more important. */
  private async rotate(): Promise<void> {
    const { fd, file, keep } = this.options;
    const draft = `${file}.new`;
    try {
      if (keep > 0) {
        await copyFile(file, draft);
        this.appendRest(draft);
        for (let n = keep; n > 1; n--) this.moveIfThere(`${file}.${n - 1}`, `${file}.${n}`);
        renameSync(draft, `${file}.1`);
      }
    } catch {
      rmSync(draft, { force: true });
    }
    try {
      ftruncateSync(fd, 0);
    } catch {
      // The next lines trigger another attempt.
    }
  }

  /**
   * Appends the bytes that were written during the copy. Runs synchronously until the file is truncated, so no line is
   * lost.
   */
  private appendRest(draft: string): void {
    const from = openSync(this.options.file, 'r');
    try {
      const buffer = Buffer.alloc(64 * 1024);
      for (let at = statSync(draft).size; ;) {
        const bytes = readSync(from, buffer, 0, buffer.length, at);
        if (bytes === 0) return;
        appendFileSync(draft, buffer.subarray(0, bytes));
        at += bytes;
      }
    } finally {
      closeSync(from);
    }
  }

  private moveIfThere(from: string, to: string): void {
    try {
      renameSync(from, to);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
}
