/**
 * worker.out, bounded: a file that this process inherited as its stdout is copied beside itself and emptied once it is
 * too large. It is not renamed, since what writes to stdout without this stream would go on in the renamed file.
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

/** Between two looks at the size, ms: not all that the file gets comes through here. */
const LOOK_EVERY_MS = 10_000;
/** Share of the bound after which the size is looked at again, whatever the time. */
const LOOK_SHARE = 1 / 16;

export interface LogFileOptions {
  /** Descriptor that is written to, opened for appending. */
  fd: number;
  file: string;
  /** Bound of the file, bytes. 0 for none. */
  maxBytes: number;
  /** Copies of earlier parts that are kept: `<file>.1` is the newest. */
  keep: number;
}

/** Whether a descriptor writes to this file. */
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
  /** The file ends in the middle of a line: the disk had room for a part of it. */
  private torn = false;
  private rotating: Promise<void> | undefined;

  constructor(private readonly options: LogFileOptions) {
    this.timer = setInterval(() => {
      this.look();
    }, LOOK_EVERY_MS).unref();
  }

  /** Writes a line at once. Never throws: a full disk costs lines, whose number is told by the first that fits again. */
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

  /** Resolves once no copy is being made. */
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

  /** Never rejects. POLICY: when the copy can't be made, its part is lost: the bound matters more. */
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
      // Looked at again after the next lines.
    }
  }

  /** What was written while the copy was made. Nothing else runs until the file is emptied. */
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
