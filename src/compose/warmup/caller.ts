/** HTTP client of the warm-up. */
import { randomUUID } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { Client, type Dispatcher } from 'undici';
import { listenTcp } from '../../event/http/listeners';
import type { Closers } from '../closers';

/** Time limit for requests that still run when the environment is closed, in ms. */
export const GRACE_MS = 1000;

export type Call = Pick<Dispatcher.RequestOptions, 'path' | 'method' | 'body'> & {
  headers: Readonly<Record<string, string>>;
};

/**
 * Headers of two kinds of clients. V8 discards code that was optimized for one kind when a client of the other kind
 * calls.
 */
export const JSON_HEADERS = { 'content-type': 'application/json' };
export const TOOL_HEADERS = { 'user-agent': 'warm-up', accept: '*/*', 'accept-encoding': 'gzip, deflate' };

/** Sends calls over one connection. close() ends this connection. */
export class Caller {
  private client: Client | undefined;
  private readonly authorization: Readonly<Record<string, string>>;

  /** @param stop ends a running call */
  constructor(
    private readonly port: number,
    private readonly stop: AbortSignal,
    adminToken: string,
  ) {
    this.authorization = { authorization: `Bearer ${adminToken}` };
  }

  /** @returns the text of the answer. @throws Error for a status of 300 or above */
  async send(call: Call): Promise<string> {
    this.client ??= new Client(`http://127.0.0.1:${this.port}`);
    // Invocations need no token. Their headers are those of a real client.
    const headers = call.path.startsWith('/run/') ? call.headers : { ...call.headers, ...this.authorization };
    const { statusCode, body } = await this.client.request({ ...call, headers, signal: this.stop });
    const text = await body.text();
    if (statusCode >= 300) throw new Error(`${call.method} ${call.path}: ${statusCode} ${text}`);
    return text;
  }

  /** Closes the connection. The next call opens a new one. */
  async close(): Promise<void> {
    await this.client?.close();
    this.client = undefined;
  }
}

/**
 * Serves an application on a loopback port until `closers` run.
 * @param makeApp makes the application, which accepts this admin token
 * @param stop ends a running call
 * @returns the client of the application
 */
export async function openCaller(
  makeApp: (adminToken: string) => RequestListener,
  closers: Closers,
  stop: AbortSignal,
): Promise<Caller> {
  // POLICY: the token is random. Another program on this host can find the port, but can change nothing in the
  // environment.
  const adminToken = randomUUID();
  const listener = await listenTcp(makeApp(adminToken), '127.0.0.1', 0);
  closers.add(() => listener.close(GRACE_MS));
  const caller = new Caller(listener.port, stop, adminToken);
  closers.add(() => caller.close());
  return caller;
}
