/** Converts the helper's completions and exit codes to the worker's typed errors. */
import { getSystemErrorName } from 'node:util';
import { ArgyleError, type ErrorCode } from '../errors';
import { Code, Stage, codeName, stageName, type Completion } from './protocol';

/** The caller's error code for each ag_code. */
const ERROR_OF: Record<number, ErrorCode> = {
  [Code.BADREQ]: 'HELPER_PROTOCOL',
  [Code.VERSION]: 'HELPER_PROTOCOL',
  [Code.STATE]: 'SANDBOX_STATE',
  [Code.NOENT]: 'SANDBOX_CREATE',
  [Code.DENIED]: 'HELPER_DENIED',
  [Code.LIMIT]: 'SANDBOX_CREATE',
  [Code.SYS]: 'SANDBOX_CREATE',
  [Code.ZYGOTE]: 'ZYGOTE_FAILED',
};

const errnoName = (errno: number): string => {
  try {
    return getSystemErrorName(-Math.abs(errno));
  } catch {
    return `errno ${errno}`;
  }
};

/** The failure in the helper's terms: `SLOT: EMFILE mount`. */
function where(completion: Completion): string {
  const parts = [stageName(completion.stage)];
  if (completion.errno !== 0) parts.push(errnoName(completion.errno));
  if (completion.detail !== '') parts.push(completion.detail);
  return parts.join(' ');
}

/** A completion with a failure. `value` is `stage errno detail`. */
export class HelperError extends ArgyleError {
  /** One of Code in protocol.ts. */
  readonly agCode: number;

  constructor(code: ErrorCode, agCode: number, message: string, at: { field: string; value: string }) {
    super(code, message, at);
    this.name = 'HelperError';
    this.agCode = agCode;
  }
}

export function helperError(verb: string, completion: Completion): HelperError {
  const code = ERROR_OF[completion.code] ?? 'HELPER_PROTOCOL';
  const at = where(completion);
  const message = `helper: ${verb} failed with ${codeName(completion.code)} (${at})`;
  return new HelperError(code, completion.code, message, { field: verb, value: at });
}

/** Meaning of the helper's exit codes, for the message of a failed start. */
const EXIT_MEANING: Record<number, string> = {
  [Stage.USAGE]: 'bad command line or missing channel',
  [Stage.PRIV]: 'not setuid root, or this user is not in the group that helper.conf allows',
  [Stage.CONFIG]: 'helper.conf is missing, malformed, or writable by others than root',
  [Stage.HELLO]: 'the first message was malformed or of another version',
  [Stage.ROOTS]: 'a root of helper.conf cannot be opened safely',
  [Stage.MOUNTNS]: 'the private mount namespace could not be made',
  [Stage.CGROUP]: 'the control groups could not be made',
  [Stage.NETWORK]: 'the sandbox network could not be set up',
  [Stage.EVENTS]: 'the completion pipe broke',
};

/** Describes how the helper ended. */
export function describeExit(exitCode: number | null, signal: string | null): string {
  if (signal !== null) return `killed by ${signal}`;
  if (exitCode === null) return 'ended';
  if (exitCode === 0) return 'exited';
  const meaning = EXIT_MEANING[exitCode];
  return `exit code ${exitCode} (${stageName(exitCode)}${meaning === undefined ? '' : `: ${meaning}`})`;
}
