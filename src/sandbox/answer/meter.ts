/**
 * Weighs what a guest sends against what comes of it. A parser passes over chunk extensions, empty lines, interim answers
 * and endless status lines without keeping them, so no bound on memory would ever end them.
 */
import type { Socket } from 'node:net';
import { fault } from './fault';
import { MAX_HEAD_BYTES } from './head';

/** Bytes that one answer may take beside its body: its head, its trailers, and what the socket had read ahead. */
const SLACK_BYTES = 4 * MAX_HEAD_BYTES;
/** A chunk of one byte takes six. */
const BYTES_PER_BODY_BYTE = 16;

export class AnswerMeter {
  private received = 0;
  private allowed = SLACK_BYTES;

  /** Has this connection's bytes counted. A connection that sends too much for nothing ends with GUEST_PROTOCOL. */
  watch(socket: Socket): void {
    const read = socket.read.bind(socket);
    const unshift = socket.unshift.bind(socket);
    socket.read = (size?: number): unknown => {
      const chunk = read(size) as Buffer | null;
      if (chunk === null) return null;
      this.received += chunk.length;
      if (this.received <= this.allowed) return chunk;
      socket.destroy(fault('it sends bytes that add nothing to its answer'));
      return null;
    };
    // The parser gives back what it read while it is paused, and reads it again.
    socket.unshift = (chunk: Buffer): void => {
      this.received -= chunk.length;
      unshift(chunk);
    };
  }

  /** A request begins. */
  reset(): void {
    this.received = 0;
    this.allowed = SLACK_BYTES;
  }

  /** So many bytes of a body have come. */
  progress(bytes: number): void {
    this.allowed += BYTES_PER_BODY_BYTE * bytes;
  }
}
