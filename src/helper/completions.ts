/**
 * Reads the helper's completion pipe. Decodes its records, and passes each record to the request or slot that waits for
 * it.
 */
import { helperError } from './errors';
import { COMPLETION_BYTES, Code, Kind, decodeCompletion, type Completion, type VerbName } from './protocol';

/** A request that waits for its completion. */
export interface Waiting {
  verb: VerbName;
  resolve: (completion: Completion) => void;
  reject: (error: Error) => void;
}

/** Gets the exit of a slot's first process; undefined when the helper itself ended. */
export type ExitListener = (completion: Completion | undefined) => void;

export class Completions {
  private readonly waiting = new Map<number, Waiting>();
  private readonly exits = new Map<number, ExitListener>();
  /** The beginning of a record whose end has not arrived. */
  private partial: Buffer = Buffer.alloc(0);

  /** @param onFault called for a record of another protocol; nothing after it is read */
  constructor(private readonly onFault: () => void) {}

  /** Passes the completion with this sequence number to `waiting`, once. */
  expect(seq: number, waiting: Waiting): void {
    this.waiting.set(seq, waiting);
  }

  /** Calls `listener` once for this slot. */
  onExit(slot: number, listener: ExitListener): void {
    this.exits.set(slot, listener);
  }

  offExit(slot: number): void {
    this.exits.delete(slot);
  }

  /** Reads bytes of the pipe. */
  receive(chunk: Buffer): void {
    const bytes = this.partial.length === 0 ? chunk : Buffer.concat([this.partial, chunk]);
    let offset = 0;
    for (; offset + COMPLETION_BYTES <= bytes.length; offset += COMPLETION_BYTES) {
      const completion = decodeCompletion(bytes, offset);
      if (completion === undefined) {
        this.onFault();
        return;
      }
      this.settle(completion);
    }
    this.partial = bytes.subarray(offset);
  }

  /** Rejects one request. */
  reject(seq: number, error: Error): void {
    const waiting = this.waiting.get(seq);
    this.waiting.delete(seq);
    waiting?.reject(error);
  }

  /** Rejects all requests. */
  rejectAll(error: Error): void {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  /** Tells all listeners of slots that the helper has ended. */
  endSlots(): void {
    for (const listener of this.exits.values()) listener(undefined);
    this.exits.clear();
  }

  private settle(completion: Completion): void {
    if (completion.kind === Kind.EVENT_EXIT) {
      const listener = this.exits.get(completion.slot);
      this.exits.delete(completion.slot);
      listener?.(completion);
      return;
    }
    const waiting = this.waiting.get(completion.seq);
    if (waiting === undefined) return;
    this.waiting.delete(completion.seq);
    if (completion.code === Code.OK) waiting.resolve(completion);
    else waiting.reject(helperError(waiting.verb, completion));
  }
}
