/**
 * Reads an answer to its end although the guest no longer takes the request.
 *
 * A guest may answer and close its connection before it has read the whole request. Node destroys a socket whose write
 * fails, and the answer's bytes that the kernel holds are lost. This module keeps such a write unfinished until the end
 * of the stream has been read. A closed connection always delivers this end, so no write waits for ever.
 */
import type { Socket } from 'node:net';

/** Codes of the errors that mean that the guest has closed its connection, or at least its side for reading. */
const REFUSED: ReadonlySet<string> = new Set(['EPIPE', 'ECONNRESET']);
/** Code of undici's error for a connection that ended. */
const ENDED = 'UND_ERR_SOCKET';

type WriteCallback = (error?: Error | null) => void;

function codeOf(error: Error | null | undefined): string {
  return (error as NodeJS.ErrnoException | null | undefined)?.code ?? '';
}

/** @param hasAnswer whether a byte of the current answer has arrived */
export function readPastRefusals(socket: Socket, hasAnswer: () => boolean): void {
  /** The error of a write, while this write is kept unfinished. */
  let refusal: Error | undefined;
  const kept =
    (callback: WriteCallback): WriteCallback =>
    (error) => {
      if (!REFUSED.has(codeOf(error)) || socket.destroyed || socket.readableEnded) {
        callback(error);
        return;
      }
      refusal = error ?? undefined;
      socket.once('end', () => {
        callback(error);
      });
    };
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  const destroy = socket.destroy.bind(socket);
  socket._write = (chunk, encoding, callback): void => {
    write(chunk, encoding, kept(callback));
  };
  if (writev !== undefined) {
    socket._writev = (chunks, callback): void => {
      writev(chunks, kept(callback));
    };
  }
  socket.destroy = (error?: Error): Socket => {
    const code = codeOf(error);
    // The guest closed the connection before it had read the whole request. The kernel reports this error after the
    // answer's bytes.
    if (code === 'ECONNRESET' && !socket.destroyed && !socket.readableEnded && socket.readableLength > 0) {
      socket.push(null);
      return socket;
    }
    // Without an answer, the write's error is reported: it shows whether the guest can have seen the request.
    const unanswered = refusal !== undefined && !hasAnswer() && (code === ENDED || REFUSED.has(code));
    return destroy(unanswered ? refusal : error);
  };
}
