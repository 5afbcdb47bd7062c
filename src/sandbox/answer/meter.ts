/**
 * Limits the bytes that a guest sends without adding to its answer. A parser discards chunk extensions, empty lines,
 * interim answers and endless status lines, so no memory limit would stop them.
 *
 * Heads and trailers are limited here and in head.ts, not by undici: after its own limit, undici parses the rest of the
 * chunk and makes an error for each field in it, which takes up to 190 ms.
 */
import type { Socket } from 'node:net';
import { fault } from './fault';
import { MAX_HEAD_BYTES } from './head';

/** Allowance of one answer besides its body, in bytes: head, trailers, and bytes that the socket has read ahead. */
const SLACK_BYTES = 4 * MAX_HEAD_BYTES;
/** Allowance until the head ends, in bytes: interim answers, the head, and the separators of its fields. */
const HEAD_BYTES = MAX_HEAD_BYTES + 16 * 1024;
/** Allowance after the head without a byte of a body, in bytes: trailers, and bytes that the socket has read ahead. */
const IDLE_BYTES = 2 * MAX_HEAD_BYTES;
/**
 * Largest chunk for the parser while the head is incomplete, in bytes. The last chunk of a head may contain the start
 * of the body. At most this much of a body therefore counts against HEAD_BYTES.
 */
const HEAD_CHUNK_BYTES = 4096;
/** Allowance for each byte of a body, in bytes. A chunk of one byte takes six bytes. */
const BYTES_PER_BODY_BYTE = 16;

export class AnswerMeter {
  private received = 0;
  private allowed = SLACK_BYTES;
  private inHead = true;
  /** Bytes after the head without a byte of a body. */
  private idle = 0;

  /** Counts the bytes of a connection. A connection above its allowance ends with GUEST_PROTOCOL. */
  watch(socket: Socket): void {
    const read = socket.read.bind(socket);
    const unshift = socket.unshift.bind(socket);
    socket.read = (size?: number): unknown => {
      // A destroyed socket would still return the bytes that it has read ahead.
      if (socket.destroyed) return null;
      const isLong = this.inHead && socket.readableLength > HEAD_CHUNK_BYTES;
      const chunk = read(isLong ? HEAD_CHUNK_BYTES : size) as Buffer | null;
      if (chunk === null) return null;
      this.received += chunk.length;
      if (!this.inHead) this.idle += chunk.length;
      if (this.isWithin) return chunk;
      socket.destroy(fault('it sends bytes that add nothing to its answer'));
      return null;
    };
    // A paused parser returns unparsed bytes to the socket, and reads these bytes again later.
    socket.unshift = (chunk: Buffer): void => {
      this.received -= chunk.length;
      this.idle = Math.max(0, this.idle - chunk.length);
      unshift(chunk);
    };
  }

  /** Whether a byte has been received since the start of the request. */
  get hasBytes(): boolean {
    return this.received > 0;
  }

  /** Resets the counters at the start of a request. */
  reset(): void {
    this.received = 0;
    this.allowed = SLACK_BYTES;
    this.inHead = true;
    this.idle = 0;
  }

  /** Records that the head of the answer is complete. */
  headEnded(): void {
    this.inHead = false;
  }

  /** Raises the allowance for `bytes` of a body. */
  progress(bytes: number): void {
    this.allowed += BYTES_PER_BODY_BYTE * bytes;
    this.idle = 0;
  }

  private get isWithin(): boolean {
    if (this.inHead) return this.received <= HEAD_BYTES;
    return this.received <= this.allowed && this.idle <= IDLE_BYTES;
  }
}
