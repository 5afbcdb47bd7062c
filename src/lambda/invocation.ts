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
  /** How the client reaches the worker, `http://host:port` with what a proxy puts before paths; absent if unknown. */
  readonly origin?: string;
  readonly body: InvocationBody;
  readonly sink: ResponseSink;
  /** Aborted when nobody waits for the response any more. */
  readonly signal: CancelSignal;
}

/**
 * So much of a body is read before an instance is taken, in bytes. A slow sender then keeps no sandbox busy; a body that
 * was read whole can be given to another instance, and a larger one is streamed from there on.
 */
export const SMALL_BODY_BYTES = 64 * 1024;

/** A body that began and then pauses may be a conversation: it gets its sandbox after this long, ms, if one is free. */
const PAUSE_MS = 200;

/**
 * Sandboxes for bodies that are neither complete nor large: a function may answer the first part before the client sends
 * the next. POLICY: whoever sends slowly looks the same, so only few at a time get a sandbox that way.
 */
export class OpenBodies {
  private free: number;

  /** @param most argyle.open_bodies */
  constructor(most: number) {
    this.free = most;
  }

  /** @returns what gives the place back, once; undefined when there is none */
  enter(): (() => void) | undefined {
    if (this.free === 0) return undefined;
    this.free--;
    let left = false;
    return () => {
      if (!left) this.free++;
      left = true;
    };
  }
}

/** What an InvocationBody tells and asks while it waits for its bytes. */
export interface Arrival {
  /** Told when the body did not come along with its header. */
  onWaiting(): void;
  open: OpenBodies;
}

/** A request body that is read at most once, but may be offered to several sandboxes until its first byte is taken. */
export class InvocationBody {
  private buffer: Buffer | undefined;
  /** What was read of a body that is larger. */
  private head: Buffer[] = [];
  private taken = false;
  private release: (() => void) | undefined;

  /**
   * @param source the stream, undefined when the request has no body
   * @param length declared length in bytes, undefined for chunked bodies
   * @param arrival absent for a body that waits for its first SMALL_BODY_BYTES or its end, however long that takes
   */
  constructor(
    private readonly source: Readable | undefined,
    private readonly length: number | undefined,
    private readonly arrival?: Arrival,
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

  /** Whether all of it can be sent again. */
  get isRepeatable(): boolean {
    return this.source === undefined || this.buffer !== undefined;
  }

  /**
   * Undefined when there is nothing to read; else resolves once the body is there, or the first SMALL_BODY_BYTES of it.
   * @throws ArgyleError CLIENT_GONE
   */
  prepare(): Promise<void> | undefined {
    const { source } = this;
    return source === undefined || this.buffer !== undefined ? undefined : this.readAhead(source);
  }

  /** What undici is given as the body. */
  open(): Buffer | Readable | null {
    if (this.buffer !== undefined) return this.buffer;
    return this.source === undefined ? null : new Tap(this.source, this.head, () => (this.taken = true));
  }

  private async readAhead(source: Readable): Promise<void> {
    // The parser may be in the middle of the packet that the header came in: a microtask later it is through with it,
    // and a body that was in there too need not be waited for.
    await Promise.resolve();
    if (this.length !== undefined && source.readableLength === this.length) {
      this.buffer = source.read() as Buffer;
      return;
    }
    this.arrival?.onWaiting();
    const { chunks, ended } = await firstBytes(source, SMALL_BODY_BYTES, () => {
      this.release = this.arrival?.open.enter();
      return this.release !== undefined;
    });
    if (ended) this.buffer = Buffer.concat(chunks);
    else this.head = chunks;
  }

  /** To be called when the exchange is over: another body may then be sent as it comes. */
  readonly done = (): void => {
    this.release?.();
  };
}

/**
 * Reads a source until its end, until there are so many bytes, or until it has begun and `isEarly` lets it go; the rest
 * stays in it.
 */
function firstBytes(
  source: Readable,
  enough: number,
  isEarly: () => boolean,
): Promise<{ chunks: Buffer[]; ended: boolean }> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const stop = (): void => {
      clearInterval(timer);
      source.off('data', onData).off('end', onEnd).off('close', onGone).off('error', onGone);
    };
    const handOver = (): void => {
      stop();
      source.pause();
      resolve({ chunks, ended: false });
    };
    const timer = setInterval(() => {
      if (bytes > 0 && isEarly()) handOver();
    }, PAUSE_MS);
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= enough) handOver();
    };
    const onEnd = (): void => {
      stop();
      resolve({ chunks, ended: true });
    };
    const onGone = (cause?: Error): void => {
      stop();
      reject(new ArgyleError('CLIENT_GONE', 'the client went away while it sent the request', { cause }));
    };
    if (source.destroyed) onGone();
    else source.on('data', onData).on('end', onEnd).on('close', onGone).on('error', onGone);
  });
}

/** Hands a source's bytes on without owning it: destroying the tap leaves the client's connection alone. */
class Tap extends Readable {
  private attached = false;

  constructor(
    private readonly source: Readable,
    private readonly head: readonly Buffer[],
    private readonly onFirstByte: () => void,
  ) {
    super();
    // Whoever reads the tap sees its error; a tap that nobody read must not bring the process down.
    this.on('error', () => undefined);
  }

  override _read(): void {
    if (!this.attached) {
      this.attached = true;
      if (this.head.length > 0) this.onFirstByte();
      for (const chunk of this.head) this.push(chunk);
      this.source.on('data', this.onData).on('end', this.onEnd).on('error', this.onFail).on('close', this.onClose);
      if (this.source.readableEnded) this.push(null);
      else if (this.source.destroyed) this.onClose();
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
