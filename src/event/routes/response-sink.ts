/** Streams a lambda's response to an HTTP connection. */
import type { ServerResponse } from 'node:http';
import type { Call } from '../../lambda/serve/call/call';
import type { ResponseSink } from '../../lambda/serve/call/invocation';
import type { AnswerHead } from '../../sandbox/answer/head';
import { REQUEST_ID } from '../call/request-id';
import { SERVER_TIMING, serverTiming } from '../call/server-timing';

export class HttpResponseSink implements ResponseSink {
  /** Bytes of the declared Content-Length that are still missing; undefined without a Content-Length. */
  private remaining: number | undefined;

  /** @param timed whether to append Server-Timing to the function's own */
  constructor(
    private readonly res: ServerResponse,
    private readonly call: Call,
    private readonly timed: boolean,
  ) {
    // Ignores errors of a client that leaves. The route handles the connection's close event.
    res.on('error', () => undefined);
  }

  start({ status, reason, headers: fields, length, bodiless }: AnswerHead): void {
    const { res, call } = this;
    if (res.destroyed || res.headersSent) return;
    const own = res.req.headers['service-worker'] === undefined ? fields : withoutScope(fields);
    const headers = [...own, REQUEST_ID, call.id];
    if (this.timed) headers.push(SERVER_TIMING, serverTiming(call));
    try {
      if (reason === '') res.writeHead(status, headers);
      else res.writeHead(status, reason, headers);
    } catch (thrown) {
      // The guard accepts only headers that Node accepts, so this is a mismatch between the two. The client's
      // connection ends.
      process.emitWarning(thrown instanceof Error ? thrown : new Error(String(thrown)));
      res.destroy();
      return;
    }
    this.remaining = bodiless ? undefined : length;
    // The header and a first chunk leave in one packet if both are ready. A header alone leaves after this turn of the
    // loop.
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
   * Appends the text and cuts the connection. The last chunk or some declared bytes are missing, so clients see that
   * the body is incomplete. HTTP/1.0 marks the end of a body by closing, so there only the text shows the failure.
   */
  fail(text: string): void {
    const { res, remaining } = this;
    if (!this.writable) return;
    const cut = (): void => {
      res.destroy();
    };
    // The text is appended only if the body stays shorter than its declared length. Otherwise a client would take the
    // text for the end of the body.
    if (remaining === undefined || text.length < remaining) res.write(text, cut);
    else cut();
  }

  private get writable(): boolean {
    return !this.res.destroyed && !this.res.writableEnded;
  }
}

/**
 * Drops Service-Worker-Allowed. POLICY: with this header, a service worker would get the requests of all paths that the
 * header names. Functions share their origin with the worker's own pages, so a service worker is limited to the paths
 * beside its script, the browser's default.
 */
function withoutScope(fields: readonly string[]): string[] {
  const isScope = (name: string | undefined): boolean => name?.toLowerCase() === 'service-worker-allowed';
  return fields.filter((_, i) => !isScope(fields[i - (i % 2)]));
}
