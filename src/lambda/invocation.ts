/** One call of a function, whoever makes it: an HTTP client, a trigger, a test. */
import { Readable } from 'node:stream';
import { ArgyleError } from '../errors';
import type { AnswerHead } from '../sandbox/answer/head';
import type { CancelSignal } from './cancellation';

/** Where the response goes. No method throws; all accept calls after the client has gone. */
export interface ResponseSink {
  start(head: AnswerHead): void;
  /** false: call again only after the function given to onDrain() was called. */
  write(chunk: Buffer): boolean;
  onDrain(resume: () => void): void;
  end(): void;
  /** Ends a response that can't be completed: the text is appended where the framing allows it. */
  fail(text: string): void;
}

export interface Invocation {
  readonly method: string;
  /** Path and query as the client sent them. */
  readonly uri: string;
  /** Raw list of names and values. */
  readonly headers: readonly string[];
  readonly body: InvocationBody;
  readonly sink: ResponseSink;
  /** Aborted when nobody waits for the response any more. */
  readonly signal: CancelSignal;
}

/**
 * Bodies up to this size that declare it are read before an instance is taken: a slow sender then keeps no sandbox
 * busy, and the request can be repeated on another instance.
 */
export const SMALL_BODY_BYTES = 64 * 1024;

/** A request body that is read at most once, but may be offered to several sandboxes until its first byte is taken. */
export class InvocationBody {
  private buffer: Buffer | undefined;
  private taken = false;

  /**
   * @param source the stream, undefined when the request has no body
   * @param length declared length in bytes, undefined for chunked bodies
   */
  constructor(
    private readonly source: Readable | undefined,
    private readonly length: number | undefined,
  ) {}

  static empty(): InvocationBody {
    return new InvocationBody(undefined, undefined);
  }

  static of(bytes: Buffer): InvocationBody {
    const body = InvocationBody.empty();
    body.buffer = bytes;
    return body;
  }

  /** Whether a sandbox has got bytes that no other can get again. */
  get consumed(): boolean {
    return this.taken;
  }

  /** Undefined when the body needs no reading ahead. */
  prepare(): Promise<void> | undefined {
    const { source, length } = this;
    if (source === undefined || this.buffer !== undefined) return undefined;
    if (length === undefined || length > SMALL_BODY_BYTES) return undefined;
    return this.readAll(source);
  }

  /** What undici is given as the body. */
  open(): Buffer | Readable | null {
    if (this.buffer !== undefined) return this.buffer;
    return this.source === undefined ? null : new Tap(this.source, () => (this.taken = true));
  }

  private async readAll(source: Readable): Promise<void> {
    // The parser may be in the middle of the packet that the header came in: a microtask later it is through with it,
    // and a body that was in there too need not be waited for.
    await Promise.resolve();
    if (source.readableLength === this.length) {
      this.buffer = source.read() as Buffer;
      return;
    }
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of source) chunks.push(chunk as Buffer);
    } catch (thrown) {
      throw new ArgyleError('CLIENT_GONE', 'the client went away while it sent the request', { cause: thrown });
    }
    this.buffer = Buffer.concat(chunks);
  }
}

/** Hands a source's bytes on without owning it: destroying the tap leaves the client's connection alone. */
class Tap extends Readable {
  private attached = false;

  constructor(
    private readonly source: Readable,
    private readonly onFirstByte: () => void,
  ) {
    super();
    // Whoever reads the tap sees its error; a tap that nobody read must not bring the process down.
    this.on('error', () => undefined);
  }

  override _read(): void {
    if (!this.attached) {
      this.attached = true;
      this.source.on('data', this.onData).on('end', this.onEnd).on('error', this.onFail).on('close', this.onClose);
      if (this.source.readableEnded) this.push(null);
    }
    this.source.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.source.off('data', this.onData).off('end', this.onEnd).off('error', this.onFail).off('close', this.onClose);
    this.source.pause();
    callback(error);
  }

  private readonly onData = (chunk: Buffer): void => {
    this.onFirstByte();
    if (!this.push(chunk)) this.source.pause();
  };

  private readonly onEnd = (): void => {
    this.push(null);
  };

  private readonly onFail = (error: Error): void => {
    this.destroy(error);
  };

  private readonly onClose = (): void => {
    if (!this.readableEnded && !this.source.readableEnded) this.destroy(new Error('request body was cut off'));
  };
}
