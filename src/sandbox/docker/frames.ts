/** Decodes the frames of a container's output. The engine sends standard output and standard error in one stream. */
import { Transform, type TransformCallback, type Writable } from 'node:stream';

/** Frame header: one byte for the stream, three zero bytes, and the length of the payload in bytes, big-endian. */
const HEADER_BYTES = 8;
const LENGTH_AT = 4;
/** First byte of the frames of standard error. */
const STDERR = 2;

/**
 * Passes on the payloads in order. The code is a loop, because one call per frame would let a guest exhaust the
 * worker's stack.
 */
export class FrameDecoder extends Transform {
  private header = Buffer.alloc(0);
  private left = 0;
  private isError = false;

  /** @param errors receives the payloads of standard error; without it this stream receives them */
  constructor(private readonly errors?: Writable) {
    super();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.left === 0) {
        const more = chunk.subarray(at, at + HEADER_BYTES - this.header.length);
        this.header = Buffer.concat([this.header, more]);
        at += more.length;
        if (this.header.length < HEADER_BYTES) break;
        this.left = this.header.readUInt32BE(LENGTH_AT);
        this.isError = this.header[0] === STDERR;
        this.header = Buffer.alloc(0);
      } else {
        const part = chunk.subarray(at, at + this.left);
        if (this.isError && this.errors !== undefined) this.errors.write(part);
        else this.push(part);
        at += part.length;
        this.left -= part.length;
      }
    }
    done();
  }
}
