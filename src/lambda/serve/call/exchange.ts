/**
 * One HTTP exchange with a sandbox. The response is forwarded as it is produced. One deadline covers request and
 * response.
 */
import { createGunzip } from 'node:zlib';
import type { Gunzip } from 'node:zlib';
import { ArgyleError, type ErrorCode } from '../../../errors';
import { GuestFailure } from '../../../sandbox/answer/failure';
import type { AnswerControl, AnswerHandler } from '../../../sandbox/answer/guard';
import type { AnswerHead } from '../../../sandbox/answer/head';
import { FINAL_OUTPUT_MS } from '../../../sandbox/boot';
import type { Sandbox } from '../../../sandbox/types';
import { decodedHead, mustDecode, toLambda } from './headers';
import type { Invocation } from './invocation';

export type Outcome =
  /** The whole response was forwarded. */
  | { kind: 'done' }
  /** No response had begun. `unsent`: the guest cannot have seen the request, so another instance may get it. */
  | { kind: 'failed'; message: string; code: ErrorCode; unsent: boolean; report?: GuestFailure }
  /** The response had begun. The error text was appended to the body. */
  | { kind: 'broken'; message: string; code: ErrorCode }
  /** The client went away. */
  | { kind: 'cancelled' };

/** The original's messages, which are those of Go's HTTP client. */
const TIMEOUT_BEFORE = 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';
const TIMEOUT_AFTER = 'context deadline exceeded (Client.Timeout or context cancellation while reading body)';

/** The connection's error code. The sandbox layer may have wrapped the error. */
function connectionCode(error: Error): string | undefined {
  const inner = error instanceof ArgyleError && error.cause instanceof Error ? error.cause : error;
  return (inner as NodeJS.ErrnoException).code;
}

/** Returns the message of Go's client for this error, or the sandbox layer's own message if it has more detail. */
function describe(error: Error): string {
  if (error instanceof ArgyleError) return error.message;
  const code = connectionCode(error);
  // The connection was closed or reset: the guest process has ended.
  if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE') return 'EOF';
  if (code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED') return 'sandbox was destroyed';
  return error.message;
}

/** The original's message for a request without a response. @param why the text of describe(), or a guest's report */
export function unanswered({ method, uri }: Pick<Invocation, 'method' | 'uri'>, why: string): string {
  return `${method.charAt(0)}${method.slice(1).toLowerCase()} "http://root${uri}": ${why}`;
}

/** The error code of a failure. */
function codeOf(error: Error): ErrorCode {
  const known = error instanceof ArgyleError && (error.code === 'GUEST_PROTOCOL' || error.code === 'INTERNAL');
  return known ? error.code : 'SANDBOX_DEAD';
}

export class Exchange implements AnswerHandler {
  private control: AnswerControl | undefined;
  private decodeGzip = false;
  private gunzip: Gunzip | undefined;
  private responding = false;
  private outcome: Outcome | undefined;
  private timer: NodeJS.Timeout | undefined;
  private deathTimer: NodeJS.Timeout | undefined;
  private resolve: (outcome: Outcome) => void = () => undefined;

  constructor(
    private readonly sandbox: Sandbox,
    private readonly invocation: Invocation,
    /** Time limit from run() to the end of the response, in ms; 0 for none. */
    private readonly runtimeMs: number,
  ) {}

  /** Never rejects. */
  run(): Promise<Outcome> {
    const { invocation, sandbox } = this;
    const { method, uri, signal, body } = invocation;
    return new Promise((resolve) => {
      this.resolve = resolve;
      if (signal.aborted) {
        this.settle({ kind: 'cancelled' });
        return;
      }
      signal.addEventListener('abort', this.onCancel);
      if (this.runtimeMs > 0) this.timer = setTimeout(this.onTimeout, this.runtimeMs);
      const { headers, decodeGzip } = toLambda(method, invocation.headers);
      this.decodeGzip = decodeGzip;
      // The exchange has one deadline. undici's own timeouts would cut long streams.
      const options = { path: uri, method, headers, body: body.open(), headersTimeout: 0, bodyTimeout: 0 };
      try {
        sandbox.dispatch(options, this);
      } catch (thrown) {
        this.fail(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
    });
  }

  /**
   * Call this when the sandbox has ended by itself. Otherwise the exchange would wait for ever on a connection that the
   * guest never accepted.
   */
  sandboxExited(): void {
    if (this.outcome === undefined) this.deathTimer = setTimeout(this.onDeath, FINAL_OUTPUT_MS);
  }

  onStart(control: AnswerControl): void {
    this.control = control;
    if (this.outcome !== undefined) control.abort(new Error('the exchange is over'));
  }

  onHead(head: AnswerHead): void {
    if (this.outcome !== undefined) return;
    const decode = mustDecode(head, this.decodeGzip);
    this.invocation.call.answered(this.sandbox.importMs, head.status);
    this.invocation.sink.start(decode ? decodedHead(head) : head);
    this.responding = true;
    if (decode) this.startGunzip();
  }

  onData(chunk: Buffer): void {
    const { control, gunzip } = this;
    if (this.outcome !== undefined) return;
    if (gunzip !== undefined) {
      if (gunzip.write(chunk)) return;
      control?.pause();
      gunzip.once('drain', () => control?.resume());
      return;
    }
    if (this.invocation.sink.write(chunk)) return;
    control?.pause();
    this.invocation.sink.onDrain(() => control?.resume());
  }

  onEnd(): void {
    if (this.gunzip !== undefined) this.gunzip.end();
    else this.complete();
  }

  onError(error: Error): void {
    this.fail(error);
  }

  private startGunzip(): void {
    const { sink } = this.invocation;
    const gunzip = createGunzip();
    this.gunzip = gunzip;
    gunzip.on('data', (chunk: Buffer) => {
      if (this.outcome !== undefined || sink.write(chunk)) return;
      gunzip.pause();
      sink.onDrain(() => gunzip.resume());
    });
    gunzip.on('end', () => {
      this.complete();
    });
    gunzip.on('error', (error) => {
      this.fail(new Error(`gzip: ${error.message}`));
    });
  }

  private complete(): void {
    if (this.outcome !== undefined) return;
    this.settle({ kind: 'done' });
    this.invocation.sink.end();
  }

  private fail(error: Error, timeout = false): void {
    if (this.outcome !== undefined) return;
    const { body, sink } = this.invocation;
    if (this.responding) {
      const message = `reading lambda response failed: ${timeout ? TIMEOUT_AFTER : describe(error)}`;
      this.settle({ kind: 'broken', message, code: timeout ? 'TIMEOUT' : codeOf(error) });
      sink.fail(message);
    } else {
      const message = unanswered(this.invocation, timeout ? TIMEOUT_BEFORE : describe(error));
      // EPIPE before any byte of the body means that the header was the only write, and that the connection refused all
      // of it.
      const refused = this.control === undefined || connectionCode(error) === 'EPIPE';
      const code = timeout ? 'TIMEOUT' : codeOf(error);
      const unsent = refused && !timeout && !body.consumed;
      const report = error instanceof GuestFailure ? { report: error } : {};
      this.settle({ kind: 'failed', message, code, unsent, ...report });
    }
    this.control?.abort(error);
  }

  private settle(outcome: Outcome): void {
    this.outcome = outcome;
    clearTimeout(this.timer);
    clearTimeout(this.deathTimer);
    this.invocation.signal.removeEventListener('abort', this.onCancel);
    if (outcome.kind !== 'done') this.gunzip?.destroy();
    this.resolve(outcome);
  }

  private readonly onTimeout = (): void => {
    this.fail(new Error('timeout'), true);
  };

  private readonly onDeath = (): void => {
    this.fail(Object.assign(new Error('the sandbox ended'), { code: 'UND_ERR_SOCKET' }));
  };

  private readonly onCancel = (): void => {
    if (this.outcome !== undefined) return;
    this.settle({ kind: 'cancelled' });
    this.control?.abort(new Error('the client went away'));
  };
}
