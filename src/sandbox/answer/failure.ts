/**
 * A guest's word on why it has no answer (guest/failure.py): a handler that cannot be loaded, or that ended its process.
 * It comes as an answer with a field of its own, and is handed on as an error.
 */
import { ArgyleError } from '../../errors';

/** Between the worker and its guest only (docs/guest-protocol.md). */
export const FAILURE_HEADER = 'x-argyle-failure';

/** POLICY: an honest guest sends a sentence of some 600 characters, and a traceback of 32 KiB at most. */
const MAX_SENTENCE = 1000;
const MAX_TRACE_BYTES = 32 * 1024;

/** `trace` is the traceback, '' when there is none to show. */
export class GuestFailure extends ArgyleError {
  constructor(
    message: string,
    readonly trace: string,
  ) {
    super('SANDBOX_DEAD', message);
  }
}

/** Collects the body of such an answer. What exceeds its bound is left out. */
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

/** The sentence on one line; whatever is no JSON string is told of in our words. */
function sentence(field: string): string {
  let said: unknown;
  try {
    said = JSON.parse(field);
  } catch {
    said = undefined;
  }
  // Control characters: the sentence stands in a line of an answer, and of a log.
  const text = typeof said === 'string' ? said.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim() : '';
  return text === '' ? 'the function failed without a reason' : text.slice(0, MAX_SENTENCE);
}
