/**
 * The logs of all functions. Each log is a ring on disk with a size limit, and there is a limit on their total. Lines
 * wait in memory for a short time; one background task writes them, so that neither the event loop nor a request waits
 * for the disk. The logs outlive the worker.
 */
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { lineJson, timeOf, type FunctionLine } from './line';
import { partOf, Ring } from './ring';

/** Time between two writes, ms. */
const FLUSH_MS = 100;
/** Maximum number of bytes that wait for the disk. Further lines are lost. */
const MAX_WAITING_BYTES = 4 << 20;

export interface FunctionLogsOptions {
  dir: string;
  /** Size limit of one function's log, bytes. */
  functionBytes: number;
  /** Size limit of all logs, bytes. Above it, the logs with the oldest last writes are deleted. */
  totalBytes: number;
  /** Called with the number of bytes that were lost because the disk or the writer was too slow. */
  onDropped?: (bytes: number) => void;
}

export interface LogQuery {
  /** Number of last lines; all lines by default. */
  tail?: number | undefined;
  /** Earliest time, ms. */
  sinceMs?: number | undefined;
}

export class FunctionLogs {
  private readonly rings = new Map<string, Ring>();
  private readonly waiting = new Map<string, string[]>();
  private readonly followers = new Map<string, Set<(line: string) => void>>();
  private waitingBytes = 0;
  private timer: NodeJS.Timeout | undefined;
  /** The last queued operation on the files. Operations run one after the other. */
  private work: Promise<unknown>;
  private closed = false;

  constructor(private readonly options: FunctionLogsOptions) {
    this.work = this.scan();
  }

  /** Adds a line. Never throws and never waits. */
  write(line: FunctionLine, atMs = Date.now()): void {
    const text = lineJson(line, atMs);
    this.followers.get(line.lambda)?.forEach((tell) => {
      tell(text);
    });
    const bytes = Buffer.byteLength(text) + 1;
    if (this.closed || this.waitingBytes + bytes > MAX_WAITING_BYTES) {
      this.options.onDropped?.(bytes);
      return;
    }
    this.waitingBytes += bytes;
    const lines = this.waiting.get(line.lambda);
    if (lines === undefined) this.waiting.set(line.lambda, [`${text}\n`]);
    else lines.push(`${text}\n`);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.flush();
    }, FLUSH_MS).unref();
  }

  /**
   * Returns a function's lines as JSON, oldest first; undefined when it has no log. `follow` gets all later lines. No
   * line is missing or repeated between the two.
   */
  read(
    lambda: string,
    { tail, sinceMs }: LogQuery = {},
    follow?: (line: string) => void,
  ): Promise<string[] | undefined> {
    return this.step(async () => {
      const ring = this.rings.get(lambda);
      // No other operation runs now. The waiting lines are not in the files yet, and are written only after this read.
      const recent = (this.waiting.get(lambda) ?? []).map((line) => line.slice(0, -1));
      if (follow !== undefined) this.follow(lambda, follow);
      if (ring === undefined && recent.length === 0) return undefined;
      const lines = [...((await ring?.lines()) ?? []), ...recent];
      const since = sinceMs === undefined ? '' : new Date(sinceMs).toISOString();
      const wanted = since === '' ? lines : lines.filter((line) => timeOf(line) >= since);
      return tail === undefined ? wanted : wanted.slice(wanted.length - Math.min(tail, wanted.length));
    });
  }

  /** Stops calling `follow`. */
  unfollow(lambda: string, follow: (line: string) => void): void {
    const all = this.followers.get(lambda);
    all?.delete(follow);
    if (all?.size === 0) this.followers.delete(lambda);
  }

  /**
   * Deletes a function's log, since the next function of this name may have another owner. @throws Error of the disk
   */
  forget(lambda: string): Promise<void> {
    return this.step(async () => {
      for (const line of this.waiting.get(lambda) ?? []) this.waitingBytes -= Buffer.byteLength(line);
      this.waiting.delete(lambda);
      await this.rings.get(lambda)?.remove();
      this.rings.delete(lambda);
    });
  }

  /** Writes all waiting lines. Never rejects. */
  flush(): Promise<void> {
    return this.step(async () => {
      const batches = [...this.waiting];
      this.waiting.clear();
      this.waitingBytes = 0;
      for (const [lambda, lines] of batches) await this.append(lambda, lines);
      await this.shrink();
    });
  }

  /** Writes all waiting lines and accepts no more. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.flush();
  }

  private follow(lambda: string, follow: (line: string) => void): void {
    const all = this.followers.get(lambda);
    if (all === undefined) this.followers.set(lambda, new Set([follow]));
    else all.add(follow);
  }

  private step<T>(run: () => Promise<T>): Promise<T> {
    const done = this.work.then(run);
    this.work = done.catch(() => undefined);
    return done;
  }

  private async append(lambda: string, lines: readonly string[]): Promise<void> {
    let ring = this.rings.get(lambda);
    if (ring === undefined) {
      ring = new Ring(this.options.dir, lambda, this.options.functionBytes);
      this.rings.set(lambda, ring);
    }
    ring.usedMs = Date.now();
    const lost = await ring.append(lines);
    if (lost > 0) this.options.onDropped?.(lost);
  }

  /** POLICY: deletes whole logs, those with the oldest last write first. */
  private async shrink(): Promise<void> {
    let bytes = [...this.rings.values()].reduce((sum, ring) => sum + ring.bytes, 0);
    if (bytes <= this.options.totalBytes) return;
    for (const [lambda, ring] of [...this.rings].sort(([, a], [, b]) => a.usedMs - b.usedMs)) {
      if (bytes <= this.options.totalBytes) return;
      bytes -= ring.bytes;
      await ring.remove();
      this.rings.delete(lambda);
    }
  }

  /**
   * Takes over the logs of an earlier worker. Never rejects. Without a usable directory, all lines are lost and
   * counted.
   */
  private async scan(): Promise<void> {
    const { dir, functionBytes } = this.options;
    try {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      for (const file of await readdir(dir)) {
        const found = partOf(file);
        const status = found === undefined ? undefined : await stat(join(dir, file)).catch(() => undefined);
        if (found === undefined || status?.isFile() !== true) continue;
        const ring = this.rings.get(found.name) ?? new Ring(dir, found.name, functionBytes);
        ring.found(found.part, status.size);
        ring.usedMs = Math.max(ring.usedMs, status.mtimeMs);
        this.rings.set(found.name, ring);
      }
      await this.shrink();
    } catch {
      // The count of lost bytes reports this failure.
    }
  }
}
