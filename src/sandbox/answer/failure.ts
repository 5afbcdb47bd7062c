/**
 * Failure reports of a guest (guest/apps/failure.py): the handler cannot be loaded, or the handler ended its process. A
 * failure report is an answer with its own header field. The worker turns the report into an error.
 */
import { ArgyleError } from '../../errors';

/** Used between the worker and its guest only (docs/guest-protocol.md). */
export const FAILURE_HEADER = 'x-argyle-failure';

/**
 * POLICY: limits for an untrusted report, in characters and bytes. An honest guest sends a sentence of about 600
 * characters and a traceback of at most 32 KiB.
 */
const MAX_SENTENCE = 1000;
const MAX_TRACE_BYTES = 32 * 1024;

/** The error of a failure report. `trace` is the traceback, '' when there is none. */
export class GuestFailure extends ArgyleError {
  constructor(
    message: string,
    readonly trace: string,
  ) {
    super('SANDBOX_DEAD', message);
  }
}

/** Collects the body of a failure report and drops the part above the limit. */
export class FailureReader {
  private readonly chunks: Buffer[] = [];
  private bytes = 0;

  /** @param field value of FAILURE_HEADER: a JSON string */
  constructor(private readonly field: string) {}

  add(chunk: Buffer): void {
    const part = chunk.subarray(0, MAX_TRACE_BYTES - this.bytes);
    this.bytes += part.length;
    if (part.length > 0) this.chunks.push(part);
  }

  end(): GuestFailure {
    return new GuestFailure(sentence(this.field), Buffer.concat(this.chunks).toString('utf8').trimEnd());
  }
}

/** Returns the sentence on one line; a default sentence when the field is not a JSON string. */
function sentence(field: string): string {
  let said: unknown;
  try {
    said = JSON.parse(field);
  } catch {
    said = undefined;
  }
  // Control characters are replaced, because the sentence becomes part of an answer's line and of a log line.
  const text = typeof said === 'string' ? said.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim() : '';
  return text === '' ? 'the function failed without a reason' : text.slice(0, MAX_SENTENCE);
}
