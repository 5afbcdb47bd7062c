/**
 * Writes <worker_dir>/dep-trace.json: one JSON object per line for each installed package, pulled function and
 * invocation. `ol zygote fit` and the original's tools read this file. At half of the size limit, the file is renamed
 * to dep-trace.json.1, which replaces an earlier file of this name. The new file begins with the packages and functions
 * that later lines may name.
 */
import { createWriteStream, renameSync, statSync } from 'node:fs';
import type { WriteStream } from 'node:fs';

/**
 * An event is dropped when this many events wait, or this many bytes wait for the disk. A trace must not delay
 * requests.
 */
const MAX_PENDING = 10_000;
const MAX_PENDING_BYTES = 8 << 20;

/** Longest wait of a line, in ms. */
const FLUSH_MS = 20;

/** Maximum number of packages and functions at the beginning of a new file. The oldest definitions are left out. */
const MAX_DEFINITIONS = 10_000;

/** The events that the layers record. */
export interface DepTrace {
  tracePackage(name: string, deps: readonly string[], topLevel: readonly string[]): void;
  /** @param deps pinned specs, in the order of requirements.txt */
  traceFunction(name: string, codeDir: string, deps: readonly string[]): void;
  traceInvocation(name: string, codeDir: string): void;
}

export class DepTraceFile implements DepTrace {
  private stream: WriteStream;
  private readonly pending: object[] = [];
  /** The last event that defines each package and function. */
  private readonly definitions = new Map<string, object>();
  private bytes: number;
  private failed = false;

  /**
   * @param maxBytes bound of both files together, in bytes; 0 for no bound. The definitions that each new file begins
   *   with do not count
   * @param onError is called once when the file cannot be written; tracing then stops
   */
  constructor(
    private readonly file: string,
    private readonly maxBytes: number,
    private readonly onError: (error: Error) => void,
  ) {
    this.bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    this.stream = this.open();
  }

  tracePackage(name: string, deps: readonly string[], topLevel: readonly string[]): void {
    this.define({ type: 'package', name, deps, top: topLevel });
  }

  traceFunction(name: string, codeDir: string, deps: readonly string[]): void {
    this.define({ type: 'function', id: codeDir, name, deps });
  }

  traceInvocation(name: string, codeDir: string): void {
    this.write({ type: 'invocation', id: codeDir, name });
  }

  /** Resolves once all lines are written to the file. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.failed || this.stream.destroyed) resolve();
      else {
        this.flush();
        this.stream.once('error', () => {
          resolve();
        });
        this.stream.end(resolve);
      }
    });
  }

  private open(): WriteStream {
    const stream = createWriteStream(this.file, { flags: 'a', mode: 0o644 });
    stream.on('error', (error) => {
      if (!this.failed) this.onError(error);
      this.failed = true;
    });
    return stream;
  }

  private define(event: { type: string; name: string; [more: string]: unknown }): void {
    const key = `${event.type} ${event.name}`;
    this.definitions.delete(key);
    this.definitions.set(key, event);
    const [oldest] = this.definitions.keys();
    if (this.definitions.size > MAX_DEFINITIONS && oldest !== undefined) this.definitions.delete(oldest);
    this.write(event);
  }

  private write(event: object): void {
    if (this.failed || this.pending.length === MAX_PENDING) return;
    if (this.stream.writableLength > MAX_PENDING_BYTES) return;
    // Events are written together after FLUSH_MS: a write per event would wake a thread, which costs a request 0.05 ms.
    if (this.pending.push(event) > 1) return;
    setTimeout(() => {
      this.flush();
    }, FLUSH_MS).unref();
  }

  private flush(): void {
    const events = this.pending.splice(0);
    if (events.length === 0 || this.failed) return;
    if (this.maxBytes > 0 && this.bytes >= this.maxBytes / 2) this.rotate();
    this.append(events);
  }

  private append(events: Iterable<object>): void {
    const text = [...events].map((event) => `${JSON.stringify(event)}\n`).join('');
    this.bytes += Buffer.byteLength(text);
    this.stream.write(text);
  }

  private rotate(): void {
    // Before the stream has opened its file, a rename would make the stream create the old name again.
    if (this.stream.pending) return;
    try {
      renameSync(this.file, `${this.file}.1`);
    } catch (error) {
      this.failed = true;
      this.onError(error as Error);
      return;
    }
    // The old stream writes its remaining lines to the renamed file, which it has open.
    this.stream.end();
    this.stream = this.open();
    this.append(this.definitions.values());
    // Definitions do not count. With a small bound, they would otherwise cause the next rotation at once.
    this.bytes = 0;
  }
}
