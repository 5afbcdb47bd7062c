/**
 * The only place where bytes of a guest become an answer.
 *
 * Undici parses the bytes. AnswerGuard checks the head (head.ts), limits bytes without effect (meter.ts) and passes on
 * only what a client may receive. A refused answer becomes one GUEST_PROTOCOL error, and the connection ends. An
 * exception of a handler above does not leave this class; the request fails with INTERNAL instead.
 * docs/hostile-input.md lists the rules.
 */
import type { Dispatcher } from 'undici';
import { ArgyleError } from '../../errors';
import { FailureReader } from './failure';
import { asFault, fault } from './fault';
import { rawStrings, readHead, type AnswerHead } from './head';
import type { AnswerMeter } from './meter';

/**
 * Limit for interim answers before the final answer. Go's client has the same limit, and the original uses this client.
 */
const MAX_INTERIM = 5;

/** Flow control of one answer. */
export interface AnswerControl {
  /** Ends the connection. onError() follows with `reason`, unless the answer has already ended. */
  abort(reason: Error): void;
  pause(): void;
  resume(): void;
}

/** Receives one answer. After onStart(), the last call is either onEnd() or onError(), once. */
export interface AnswerHandler {
  /** The request is about to be sent. */
  onStart(control: AnswerControl): void;
  onHead(head: AnswerHead): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  onError(error: Error): void;
}

export interface AnswerHooks {
  readonly meter: AnswerMeter;
  /** Called with the boot report of an answer. */
  onBoot(report: string): void;
  /** Called after the handler when the guest broke the protocol. */
  onFault(error: ArgyleError): void;
}

export class AnswerGuard implements Dispatcher.DispatchHandler, AnswerControl {
  private controller: Dispatcher.DispatchController | undefined;
  private interim = 0;
  private over = false;
  private failure: FailureReader | undefined;

  constructor(
    private readonly method: string,
    private readonly inner: AnswerHandler,
    private readonly hooks: AnswerHooks,
  ) {}

  abort(reason: Error): void {
    this.controller?.abort(reason);
  }

  pause(): void {
    this.controller?.pause();
  }

  resume(): void {
    try {
      this.controller?.resume();
    } catch (thrown) {
      this.thrown(thrown);
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    this.hooks.meter.reset();
    try {
      this.inner.onStart(this);
    } catch (thrown) {
      this.thrown(thrown);
    }
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    statusMessage?: string,
  ): void {
    if (this.over) return;
    if (status >= 100 && status < 200) {
      // Interim answers are not passed to the client. 101 would switch the protocol, which the worker never requests.
      if (status === 101) this.refuse('status 101');
      else if (++this.interim > MAX_INTERIM) this.refuse(`more than ${MAX_INTERIM} interim answers`);
      return;
    }
    this.hooks.meter.headEnded();
    try {
      const found = readHead(this.method, status, statusMessage ?? '', rawStrings(controller.rawHeaders));
      if (typeof found === 'string') {
        this.refuse(found);
        return;
      }
      if (found.boot !== undefined) this.hooks.onBoot(found.boot);
      if (found.failure !== undefined) this.failure = new FailureReader(found.failure);
      else this.inner.onHead(found.head);
      // A 204 or 304 may declare a body that never comes. Undici would fail this complete answer, so it ends here.
      if (found.complete) this.onResponseEnd();
    } catch (thrown) {
      this.thrown(thrown);
    }
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.over) return;
    this.hooks.meter.progress(chunk.length);
    if (this.failure !== undefined) {
      this.failure.add(chunk);
      return;
    }
    try {
      this.inner.onData(chunk);
    } catch (thrown) {
      this.thrown(thrown);
    }
  }

  /** Ends the answer. Trailers are dropped, because the head announced none to the client. */
  onResponseEnd(): void {
    if (this.over) return;
    this.over = true;
    if (this.failure !== undefined) {
      this.fail(this.failure.end());
      return;
    }
    try {
      this.inner.onEnd();
    } catch (thrown) {
      this.fail(internal(thrown));
    }
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.over) return;
    this.over = true;
    const broke = asFault(error);
    this.fail(broke ?? error);
    if (broke !== undefined) this.hooks.onFault(broke);
  }

  private refuse(what: string): void {
    this.controller?.abort(fault(what));
  }

  private thrown(thrown: unknown): void {
    const error = internal(thrown);
    if (this.controller === undefined || this.controller.aborted) this.onResponseError(undefined, error);
    else this.controller.abort(error);
  }

  private fail(error: Error): void {
    try {
      this.inner.onError(error);
    } catch (thrown) {
      // No handler is left to receive the error, so the worker prints a warning.
      process.emitWarning(internal(thrown));
    }
  }
}

function internal(thrown: unknown): ArgyleError {
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new ArgyleError('INTERNAL', `an answer could not be handed on: ${why}`, { cause: thrown });
}
