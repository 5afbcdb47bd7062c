/** Lets a lambda's response out over an HTTP connection as it is produced. */
import type { ServerResponse } from 'node:http';
import type { ResponseSink } from '../lambda/invocation';
import type { AnswerHead } from '../sandbox/answer/head';

export class HttpResponseSink implements ResponseSink {
  /** Bytes that the declared Content-Length still promises; undefined when there is none. */
  private remaining: number | undefined;

  constructor(private readonly res: ServerResponse) {
    // The client's end of a response that is being written. Its close is what the route looks at.
    res.on('error', () => undefined);
  }

  start({ status, reason, headers, length, bodiless }: AnswerHead): void {
    const { res } = this;
    if (res.destroyed || res.headersSent) return;
    try {
      if (reason === '') res.writeHead(status, headers);
      else res.writeHead(status, reason, headers);
    } catch (thrown) {
      // The guard lets through only what Node accepts, so the two differ. The client sees its connection end.
      process.emitWarning(thrown instanceof Error ? thrown : new Error(String(thrown)));
      res.destroy();
      return;
    }
    this.remaining = bodiless ? undefined : length;
    // Header and first chunk leave in one packet when both are there; a header alone leaves right after this turn.
    res.cork();
    setImmediate(() => {
      if (res.destroyed) return;
      res.flushHeaders();
      res.uncork();
    });
  }

  write(chunk: Buffer): boolean {
    const { res } = this;
    if (!this.writable) return true;
    if (this.remaining !== undefined) this.remaining -= chunk.length;
    return res.write(chunk);
  }

  onDrain(resume: () => void): void {
    this.res.once('drain', resume);
  }

  end(): void {
    if (this.writable) this.res.end();
  }

  /**
   * Appends the text and cuts the connection: without its last chunk, or all of its declared bytes, no client takes the
   * body for whole. To HTTP/1.0, which ends bodies so, only the text tells.
   */
  fail(text: string): void {
    const { res, remaining } = this;
    if (!this.writable) return;
    const cut = (): void => {
      res.destroy();
    };
    // The text must not be taken for the missing bytes, nor the next response for this one.
    if (remaining === undefined || text.length < remaining) res.write(text, cut);
    else cut();
  }

  private get writable(): boolean {
    return !this.res.destroyed && !this.res.writableEnded;
  }
}
