/** The last cold starts and failures, with their causes, for the dashboard. */

/** The first call of an instance. */
export interface ColdStart {
  /** Time when the call ended, ms since 1970. */
  atMs: number;
  lambda: string;
  requestId: string;
  /** Cause of the instance's start; lambda/serve/start/cold-cause.ts lists the values. */
  cause: string;
  /** Kind of start: `fresh`, `fork` or `spare`. */
  start: string;
  /** Kind of its zygote: `root`, `packages`, or '' without a zygote. */
  tier: string;
  /** The call's wait for its sandbox, ms. */
  startMs: number;
  /** Import of the handler, ms. */
  importMs: number;
}

/** A call that failed. */
export interface Failure {
  /** Time when the call ended, ms since 1970. */
  atMs: number;
  lambda: string;
  requestId: string;
  /** Id of the sandbox that ran the call; '' for none. */
  sandbox: string;
  /** Code of the worker's error; '' when the function answered with `status`. */
  code: string;
  /** Status of the function's answer; 0 without an answer. */
  status: number;
  /** Message of the worker's error; '' when the function answered. */
  message: string;
}

/** Maximum number of entries of each kind. */
const KEPT = 50;
/** Maximum number of characters of a message. */
const MAX_MESSAGE = 1000;

export class RecentCalls {
  private readonly cold: ColdStart[] = [];
  private readonly failed: Failure[] = [];

  /** Newest last. */
  get coldStarts(): readonly ColdStart[] {
    return this.cold;
  }

  /** Newest last. */
  get failures(): readonly Failure[] {
    return this.failed;
  }

  started(start: ColdStart): void {
    keep(this.cold, start);
  }

  failure(failure: Failure): void {
    keep(this.failed, { ...failure, message: failure.message.slice(0, MAX_MESSAGE) });
  }
}

function keep<T>(entries: T[], entry: T): void {
  entries.push(entry);
  if (entries.length > KEPT) entries.shift();
}
