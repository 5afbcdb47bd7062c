/**
 * Reads a sandbox's log pipe for as long as it lives. A guest must never block on a full pipe, so the tap always
 * reads; what exceeds its rate or line length is dropped, and how much was dropped is said once it can be.
 */
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';

/** Takes one line, without its newline. */
export type LogSink = (source: string, line: string) => void;

/** Longest line that is kept, bytes; longer ones are cut into pieces of this size. */
const LINE_BYTES = 4096;
/** What a line of its own adds to the log, bytes: a flood of empty lines must not become a larger one. */
const LINE_OVERHEAD = 64;
/** Steers terminals, or ends lines for some readers. A tab stays. */
const CONTROL = /(?!\t)[\p{Cc}\u2028\u2029]/gu;
/** Bytes per second that one sandbox may log, and how many seconds' worth it may save up. */
const RATE_BYTES_PER_S = 64 * 1024;
const BURST_S = 4;
/** How long a destroyed sandbox's pipe may still deliver what it holds, ms. */
const LINGER_MS = 200;

export class LogTap {
  /** Shown before every line; the slot's user sets it once it knows the function. */
  source: string;
  private readonly pipe: Readable;
  private rest = '';
  private tokens = RATE_BYTES_PER_S * BURST_S;
  private filledAt = Date.now();
  private droppedBytes = 0;

  /** Takes over `from`: the non-blocking read end of the pipe, or a stream of what the guest prints. */
  constructor(
    from: number | Readable,
    source: string,
    private readonly sink: LogSink | undefined,
  ) {
    this.source = source;
    this.pipe = typeof from === 'number' ? new Socket({ fd: from, readable: true, writable: false }).unref() : from;
    this.pipe.setEncoding('utf8');
    this.pipe.on('data', (chunk: string) => {
      this.take(chunk);
    });
    this.pipe.on('error', () => undefined);
    this.pipe.on('close', () => {
      this.flush();
    });
  }

  /** Lets the pipe deliver what it holds, then closes it. Needs no waiting for. */
  end(): void {
    if (this.pipe.destroyed) return;
    setTimeout(() => this.pipe.destroy(), LINGER_MS).unref();
  }

  private take(chunk: string): void {
    const now = Date.now();
    const refill = ((now - this.filledAt) / 1000) * RATE_BYTES_PER_S;
    this.tokens = Math.min(RATE_BYTES_PER_S * BURST_S, this.tokens + refill);
    this.filledAt = now;
    if (this.sink === undefined) return;
    const lines = chunk.split('\n');
    const cost = chunk.length + LINE_OVERHEAD * (lines.length - 1);
    if (cost > this.tokens) {
      this.droppedBytes += chunk.length;
      return;
    }
    this.tokens -= cost;
    if (this.droppedBytes > 0) {
      this.sink(this.source, `[${this.droppedBytes} bytes of log dropped]`);
      this.droppedBytes = 0;
    }
    lines[0] = this.rest + (lines[0] ?? '');
    this.rest = lines.pop() ?? '';
    lines.forEach((line) => {
      this.emit(line);
    });
    while (this.rest.length >= LINE_BYTES) {
      this.emit(this.rest.slice(0, LINE_BYTES));
      this.rest = this.rest.slice(LINE_BYTES);
    }
  }

  private emit(line: string): void {
    for (let at = 0; at === 0 || at < line.length; at += LINE_BYTES) {
      this.sink?.(this.source, line.slice(at, at + LINE_BYTES).replace(CONTROL, '\ufffd'));
    }
  }

  private flush(): void {
    if (this.rest !== '') this.emit(this.rest);
    this.rest = '';
  }
}
