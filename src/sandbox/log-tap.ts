/**
 * Reads a sandbox's log pipes during the whole life of the sandbox. A guest must never block on a full pipe, so the tap
 * always reads. The tap drops output above the rate limit, and logs the number of dropped bytes as soon as the rate
 * allows.
 */
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** The origin of a line. */
export interface LogOrigin {
  /** For display: `echo#12`, `slot 3`, `pip numpy==2.1.0`. */
  source: string;
  /** Function and sandbox; '' when the source serves no function. */
  lambda: string;
  sandbox: string;
  /** Id of the running call; '' between calls. */
  requestId: string;
  stream: 'stdout' | 'stderr';
}

export interface LogSink {
  /** Takes one line, without its newline. */
  line(origin: LogOrigin, text: string): void;
  /** Called with the number of bytes that a sandbox wrote above its rate. */
  dropped(bytes: number): void;
}

/** Limit for a line, in bytes; longer lines are cut into pieces of this size. */
const LINE_BYTES = 4096;
/**
 * Cost added for each line, in bytes: the log adds fields to each line, so a flood of empty lines is charged as well.
 */
const LINE_OVERHEAD = 64;
/** Characters that control terminals or end lines in some readers. Tabs are kept. */
const CONTROL = /(?!\t)[\p{Cc}\u2028\u2029]/gu;
/** Rate limit of one sandbox in bytes per second, and size of the burst in seconds of that rate. */
const RATE_BYTES_PER_S = 64 * 1024;
const BURST_S = 4;
/**
 * Output that is read at most this long after the end of a call belongs to the call, in ms. Most output of a handler
 * arrives before its answer, and some arrives shortly after it.
 */
const AFTER_CALL_MS = 5;
/** Time for which the pipe of a destroyed sandbox is still read, in ms: the pipe may hold the last output. */
const LINGER_MS = 200;

/** One of the guest's pipes, with the start of a line whose end has not been read. */
interface Feed {
  readonly stream: LogOrigin['stream'];
  readonly pipe: Readable;
  readonly decoder: StringDecoder;
  rest: string;
}

function opened(from: number | Readable): Readable {
  return typeof from === 'number' ? new Socket({ fd: from, readable: true, writable: false }).unref() : from;
}

export class LogTap {
  /** The user of the slot fills in the function. */
  readonly origin: LogOrigin;
  /** performance.now() at the end of the last call. */
  private endedAt = -Infinity;
  private switching: NodeJS.Immediate | undefined;
  private readonly feeds: readonly Feed[];
  private tokens = RATE_BYTES_PER_S * BURST_S;
  private filledAt = Date.now();
  private droppedBytes = 0;

  /**
   * Takes over `from` and, if present, `errors`: non-blocking read ends of pipes, or streams of the guest's output.
   * Both share one rate limit.
   */
  constructor(
    from: number | Readable,
    source: string,
    private readonly sink: LogSink | undefined,
    errors?: number | Readable,
  ) {
    this.origin = { source, lambda: '', sandbox: '', requestId: '', stream: 'stdout' };
    this.feeds = [this.feed('stdout', from), ...(errors === undefined ? [] : [this.feed('stderr', errors)])];
  }

  /**
   * Notes that a call begins (its id) or has ended ('').
   *
   * Race: output of the previous call was written before its answer, but the event loop may read the answer first. The
   * change therefore takes effect after the reads of this turn of the event loop. An unfinished line ends at the
   * change, so that output of the next call is not appended to the line.
   */
  running(requestId: string): void {
    clearImmediate(this.switching);
    if (requestId !== '' && this.origin.requestId === '') {
      this.begin(requestId);
      return;
    }
    this.endedAt = Infinity;
    this.switching = setImmediate(() => {
      if (requestId !== '') {
        this.begin(requestId);
        return;
      }
      this.cutLines();
      this.endedAt = performance.now();
    });
  }

  /** Closes the pipes after a delay, in which the rest of the output is read. Callers need not wait. */
  end(): void {
    for (const { pipe } of this.feeds) if (!pipe.destroyed) setTimeout(() => pipe.destroy(), LINGER_MS).unref();
  }

  private begin(requestId: string): void {
    this.cutLines();
    this.origin.requestId = requestId;
    this.endedAt = Infinity;
  }

  private cutLines(): void {
    for (const feed of this.feeds) this.cutLine(feed);
  }

  /** Passes an unfinished line to the sink as a line of its own. */
  private cutLine(feed: Feed): void {
    // The decoder may hold the first bytes of an incomplete character; these bytes belong to the line.
    const line = feed.rest + feed.decoder.end();
    feed.rest = '';
    if (line === '') return;
    this.tokens -= LINE_OVERHEAD;
    this.emit(feed, line);
  }

  private feed(stream: Feed['stream'], from: number | Readable): Feed {
    const pipe = opened(from);
    const feed: Feed = { stream, pipe, decoder: new StringDecoder('utf8'), rest: '' };
    pipe.on('data', (chunk: Buffer) => {
      this.take(feed, feed.decoder.write(chunk));
    });
    pipe.on('error', () => undefined);
    pipe.on('close', () => {
      this.cutLine(feed);
    });
    return feed;
  }

  private take(feed: Feed, chunk: string): void {
    const now = Date.now();
    const refill = ((now - this.filledAt) / 1000) * RATE_BYTES_PER_S;
    this.tokens = Math.min(RATE_BYTES_PER_S * BURST_S, this.tokens + refill);
    this.filledAt = now;
    if (this.sink === undefined) return;
    if (performance.now() - this.endedAt > AFTER_CALL_MS) this.origin.requestId = '';
    const lines = chunk.split('\n');
    const cost = chunk.length + LINE_OVERHEAD * (lines.length - 1);
    if (cost > this.tokens) {
      this.droppedBytes += chunk.length;
      this.sink.dropped(chunk.length);
      return;
    }
    this.tokens -= cost;
    if (this.droppedBytes > 0) {
      this.emit(feed, `[${this.droppedBytes} bytes of log dropped]`);
      this.droppedBytes = 0;
    }
    lines[0] = feed.rest + (lines[0] ?? '');
    feed.rest = lines.pop() ?? '';
    lines.forEach((line) => {
      this.emit(feed, line);
    });
    while (feed.rest.length >= LINE_BYTES) {
      this.emit(feed, feed.rest.slice(0, LINE_BYTES));
      feed.rest = feed.rest.slice(LINE_BYTES);
    }
  }

  private emit({ stream }: Feed, line: string): void {
    this.origin.stream = stream;
    for (let at = 0; at === 0 || at < line.length; at += LINE_BYTES) {
      this.sink?.line(this.origin, line.slice(at, at + LINE_BYTES).replace(CONTROL, '\ufffd'));
    }
  }
}
