/** Lets a lambda's response out over an HTTP connection as it is produced. */
import type { ServerResponse } from 'node:http';
import type { ResponseSink } from '../lambda/invocation';

export class HttpResponseSink implements ResponseSink {
  /** Bytes that the declared Content-Length still promises; undefined when there is none. */
  private remaining: number | undefined;

  constructor(private readonly res: ServerResponse) {}

  start(status: number, statusMessage: string, headers: string[]): void {
    const { res } = this;
    if (res.destroyed || res.headersSent) return;
    // Header and first chunk leave in one packet when both are there; a header alone leaves right after this turn.
    res.cork();
    setImmediate(() => {
      if (res.destroyed) return;
      res.flushHeaders();
      res.uncork();
    });
    if (statusMessage === '') res.writeHead(status, headers);
    else res.writeHead(status, statusMessage, headers);
    this.remaining = declaredLength(headers);
  }

  write(chunk: Buffer): boolean {
    const { res } = this;
    if (res.destroyed) return true;
    if (this.remaining !== undefined) this.remaining -= chunk.length;
    return res.write(chunk);
  }

  onDrain(resume: () => void): void {
    this.res.once('drain', resume);
  }

  end(): void {
    this.res.end();
  }

  fail(text: string): void {
    const { res, remaining } = this;
    if (res.destroyed) return;
    if (remaining === undefined) {
      res.end(text);
      return;
    }
    // The client counts bytes: it must not take the text for the missing ones, nor the next response for this one.
    const cut = (): void => {
      res.destroy();
    };
    if (text.length < remaining) res.write(text, cut);
    else cut();
  }
}

function declaredLength(headers: readonly string[]): number | undefined {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() === 'content-length') return Number(headers[i + 1]);
  }
  return undefined;
}
