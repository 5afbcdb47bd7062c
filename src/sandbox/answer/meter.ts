/**
 * Limits the bytes that a guest sends without adding to its answer. A parser discards chunk extensions, empty lines,
 * interim answers and endless status lines, so no memory limit would stop them.
 *
 * A head reaches the parser in small pieces. After its limit for a head, undici parses the rest of the piece and makes
 * an error for each field in it. A piece of 64 KiB took up to 190 ms.
 */
import type { Socket } from 'node:net';
import { fault } from './fault';
import { MAX_HEAD_BYTES } from './head';

/** Allowance of one answer besides its body, in bytes: head, trailers, and bytes that the socket has read ahead. */
const SLACK_BYTES = 4 * MAX_HEAD_BYTES;
/**
 * Allowance until the head ends, in bytes: interim answers, the head, and the separators of its fields. Fields without a
 * value add one byte each to undici's limit.
 */
const HEAD_BYTES = 2 * MAX_HEAD_BYTES;
/** Size of a piece while the head is incomplete, in bytes: most heads are shorter. */
const HEAD_PIECE_BYTES = 4096;
/** Allowance for each byte of a body, in bytes. A chunk of one byte takes six bytes. */
const BYTES_PER_BODY_BYTE = 16;

export class AnswerMeter {
  private received = 0;
  private allowed = SLACK_BYTES;
  private inHead = true;

  /** Counts the bytes of a connection. A connection above its allowance ends with GUEST_PROTOCOL. */
  watch(socket: Socket): void {
    const read = socket.read.bind(socket);
    const unshift = socket.unshift.bind(socket);
    socket.read = (size?: number): unknown => {
      // A destroyed socket would still return the bytes that it has read ahead.
      if (socket.destroyed) return null;
      const isLong = this.inHead && socket.readableLength > HEAD_PIECE_BYTES;
      const chunk = read(isLong ? HEAD_PIECE_BYTES : size) as Buffer | null;
      if (chunk === null) return null;
      this.received += chunk.length;
      if (this.received <= (this.inHead ? HEAD_BYTES : this.allowed)) return chunk;
      socket.destroy(fault('it sends bytes that add nothing to its answer'));
      return null;
    };
    // A paused parser pushes the bytes that it has read back to the socket, and reads these bytes again later.
    socket.unshift = (chunk: Buffer): void => {
      this.received -= chunk.length;
      unshift(chunk);
    };
  }

  /** Resets the counters at the start of a request. */
  reset(): void {
    this.received = 0;
    this.allowed = SLACK_BYTES;
    this.inHead = true;
  }

  /** Ends the head of the answer. */
  headEnded(): void {
    this.inHead = false;
  }

  /** Raises the allowance for `bytes` of a body. */
  progress(bytes: number): void {
    this.allowed += BYTES_PER_BODY_BYTE * bytes;
  }
}
