/** Undoes the framing in which an engine sends what a container prints, standard output and error in one stream. */
import { Transform, type TransformCallback } from 'node:stream';

/** Each frame: which stream, three bytes of zero, and the length, big-endian; then that many bytes. */
const HEADER_BYTES = 8;
const LENGTH_AT = 4;

/**
 * Passes on what is in the frames of either stream, in order.
 * dockerode's own demuxer calls itself for every frame of a chunk, so that a guest could exhaust the worker's stack.
 */
export class Unframe extends Transform {
  private header = Buffer.alloc(0);
  private left = 0;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.left === 0) {
        const more = chunk.subarray(at, at + HEADER_BYTES - this.header.length);
        this.header = Buffer.concat([this.header, more]);
        at += more.length;
        if (this.header.length < HEADER_BYTES) break;
        this.left = this.header.readUInt32BE(LENGTH_AT);
        this.header = Buffer.alloc(0);
      } else {
        const part = chunk.subarray(at, at + this.left);
        this.push(part);
        at += part.length;
        this.left -= part.length;
      }
    }
    done();
  }
}
