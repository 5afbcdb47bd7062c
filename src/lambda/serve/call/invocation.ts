/** One call of a function, by an HTTP client, a trigger or a test. */
import { Readable } from 'node:stream';
import { ArgyleError } from '../../../errors';
import type { AnswerHead } from '../../../sandbox/answer/head';
import type { Call } from './call';
import type { CancelSignal } from './cancellation';

/** The receiver of the response. No method throws. All methods may be called after the client has gone. */
export interface ResponseSink {
  start(head: AnswerHead): void;
  /** false: wait for the callback of onDrain() before the next call. */
  write(chunk: Buffer): boolean;
  onDrain(resume: () => void): void;
  end(): void;
  /** Ends a response that cannot be completed. The text is appended where the framing allows it. */
  fail(text: string): void;
}

export interface Invocation {
  /** Id and times of the call. */
  readonly call: Call;
  readonly method: string;
  /** Path and query as the client sent them. */
  readonly uri: string;
  /** Raw list of names and values. */
  readonly headers: readonly string[];
  /**
   * The worker's origin as the client sees it: `http://host:port` and the path prefix of a proxy; absent if unknown.
   */
  readonly origin?: string;
  readonly body: InvocationBody;
  readonly sink: ResponseSink;
  /** Aborted when the client no longer waits for the response. */
  readonly signal: CancelSignal;
  /** Set for a call by a trigger. A trigger neither follows redirects nor keeps cookies. */
  readonly unattended?: true;
}

/**
 * Bytes of a body that are read before the call takes an instance. A slow sender then occupies no sandbox. A body that
 * was read completely can be sent to another instance. A larger body is streamed after these bytes.
 */
export const SMALL_BODY_BYTES = 64 * 1024;

/**
 * A body that pauses for this time, in ms, may be a dialogue with the function. It then gets a sandbox, if OpenBodies
 * has a place.
 */
const PAUSE_MS = 200;

/**
 * Places for bodies that are incomplete but small. A function may answer the first part before the client sends the
 * next.
 * POLICY: a slow sender looks the same as such a dialogue, so few bodies at a time get a sandbox this way.
 */
export class OpenBodies {
  private free: number;

  /** @param most argyle.open_bodies */
  constructor(most: number) {
    this.free = most;
  }

  /** @returns a function that frees the place once; undefined when no place is free */
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

/** The callback, and the places for incomplete bodies, that an InvocationBody uses while it waits for its bytes. */
export interface Arrival {
  /** Called when the body did not arrive together with the header. */
  onWaiting(): void;
  open: OpenBodies;
}

/**
 * A request body, which is read at most once. The worker may offer the body to several sandboxes in turn, until one of
 * them takes the first byte.
 */
export class InvocationBody {
  private buffer: Buffer | undefined;
  /** The first bytes of a larger body. */
  private head: Buffer[] = [];
  private taken = false;
  private release: (() => void) | undefined;

  /**
   * @param source the stream, undefined when the request has no body
   * @param length declared length in bytes, undefined for chunked bodies
   * @param arrival absent: the body waits for its end or for SMALL_BODY_BYTES, and takes no place in OpenBodies
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

  /** Whether a sandbox has taken bytes that cannot be sent to another sandbox. */
  get consumed(): boolean {
    return this.taken;
  }

  /** Whether the whole body can be sent again. */
  get isRepeatable(): boolean {
    return this.source === undefined || this.buffer !== undefined;
  }

  /**
   * Reads the body, or its first SMALL_BODY_BYTES. Undefined when there is nothing to read.
   * @throws ArgyleError CLIENT_GONE
   */
  prepare(): Promise<void> | undefined {
    const { source } = this;
    return source === undefined || this.buffer !== undefined ? undefined : this.readAhead(source);
  }

  /** The body for undici. */
  open(): Buffer | Readable | null {
    if (this.buffer !== undefined) return this.buffer;
    return this.source === undefined ? null : new Tap(this.source, this.head, () => (this.taken = true));
  }

  private async readAhead(source: Readable): Promise<void> {
    // The parser may still handle the packet with the header. After one microtask the parser has finished this packet,
    // and a body that arrived in the same packet is available without a wait.
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

  /** Call this when the exchange has ended. The place in OpenBodies is then free for another body. */
  readonly done = (): void => {
    this.release?.();
  };
}

/**
 * Reads a source until its end, until `enough` bytes, or until it has begun and `isEarly` returns true. The remaining
 * bytes stay in the source.
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

/** Forwards a source's bytes without owning the source. Destroying the tap does not end the client's connection. */
class Tap extends Readable {
  private attached = false;

  constructor(
    private readonly source: Readable,
    private readonly head: readonly Buffer[],
    private readonly onFirstByte: () => void,
  ) {
    super();
    // A reader of the tap gets its error. Without a reader, the error must not end the process.
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
