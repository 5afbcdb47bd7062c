/**
 * Writes <worker_dir>/dep-trace.json: one JSON object a line, for each package installed, function pulled and
 * invocation. `ol zygote fit` and the original's tools read it.
 */
import { createWriteStream } from 'node:fs';
import type { WriteStream } from 'node:fs';

/** Events are dropped while this many wait, or as many bytes for the disk: a trace must never hold up requests. */
const MAX_PENDING = 10_000;
const MAX_PENDING_BYTES = 8 << 20;

/** Longest that a line waits, ms. */
const FLUSH_MS = 20;

/** What the layers record. */
export interface DepTrace {
  tracePackage(name: string, deps: readonly string[], topLevel: readonly string[]): void;
  /** @param deps pinned specs, in the order of requirements.txt */
  traceFunction(name: string, codeDir: string, deps: readonly string[]): void;
  traceInvocation(name: string, codeDir: string): void;
}

export class DepTraceFile implements DepTrace {
  private readonly stream: WriteStream;
  private readonly pending: object[] = [];
  private failed = false;

  /** @param onError told once when the file can't be written; tracing then stops */
  constructor(file: string, onError: (error: Error) => void) {
    this.stream = createWriteStream(file, { flags: 'a', mode: 0o644 });
    this.stream.on('error', (error) => {
      if (!this.failed) onError(error);
      this.failed = true;
    });
  }

  tracePackage(name: string, deps: readonly string[], topLevel: readonly string[]): void {
    this.write({ type: 'package', name, deps, top: topLevel });
  }

  traceFunction(name: string, codeDir: string, deps: readonly string[]): void {
    this.write({ type: 'function', id: codeDir, name, deps });
  }

  traceInvocation(name: string, codeDir: string): void {
    this.write({ type: 'invocation', id: codeDir, name });
  }

  /** Resolves once everything is on its way to the disk. */
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

  private write(event: object): void {
    if (this.failed || this.pending.length === MAX_PENDING) return;
    if (this.stream.writableLength > MAX_PENDING_BYTES) return;
    // Written a moment later, together with what comes meanwhile: waking a thread for it costs a request 0.05 ms.
    if (this.pending.push(event) > 1) return;
    setTimeout(() => {
      this.flush();
    }, FLUSH_MS).unref();
  }

  private flush(): void {
    const events = this.pending.splice(0);
    if (events.length > 0 && !this.failed)
      this.stream.write(events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  }
}
