/**
 * The table of all typed errors. docs/errors.md lists exactly these codes (tested). `status` is the HTTP status of the
 * answer, unless the contract defines another.
 */
export const ERRORS = {
  HELPER_START: { status: 500, retryable: true, about: 'the sandbox helper does not run and could not be started' },
  HELPER_GONE: { status: 500, retryable: true, about: 'the sandbox helper ended while a request was in flight' },
  HELPER_PROTOCOL: { status: 500, retryable: false, about: 'worker and helper do not speak the same protocol' },
  HELPER_DENIED: { status: 500, retryable: false, about: 'the helper refused a name, root or caller' },
  DOCKER_ENGINE: { status: 500, retryable: true, about: 'the Docker engine cannot be reached or refuses a step' },
  SANDBOX_CREATE: { status: 500, retryable: true, about: 'a sandbox could not be made' },
  SANDBOX_DEAD: { status: 502, retryable: true, about: 'the sandbox ended before it answered' },
  GUEST_PROTOCOL: { status: 502, retryable: false, about: "the function's answer is no valid HTTP response" },
  SANDBOX_STATE: { status: 500, retryable: false, about: 'the sandbox is not in a state that allows this' },
  MEMORY_EXHAUSTED: { status: 500, retryable: true, about: 'no memory is left in the pool and nothing can be evicted' },
  ZYGOTE_FAILED: { status: 500, retryable: true, about: 'a zygote could not be made or forked' },
  CONFIG_INVALID: { status: 500, retryable: false, about: 'a setting is malformed or out of range' },
  LAMBDA_NAME: { status: 500, retryable: false, about: 'the function name is not allowed' },
  LAMBDA_NOT_FOUND: { status: 500, retryable: false, about: 'the registry has no such function' },
  LAMBDA_CODE: { status: 500, retryable: false, about: 'the function archive cannot be used' },
  LAMBDA_CONFIG: { status: 500, retryable: false, about: "the function's ol.yaml is malformed" },
  LAMBDA_SECRET: { status: 500, retryable: false, about: 'a secret that ol.yaml asks for is missing or not private' },
  LAMBDA_METHOD: { status: 405, retryable: false, about: 'ol.yaml does not allow this HTTP method' },
  FUNCTION_QUEUE_FULL: {
    status: 429,
    retryable: true,
    about: "too many requests wait for the function's code and packages",
  },
  INSTANCE_QUEUE_FULL: {
    status: 429,
    retryable: true,
    about: 'too many requests wait for a free instance of the function',
  },
  REQUIREMENT_INVALID: { status: 500, retryable: false, about: 'a line of requirements.txt is not allowed' },
  INSTALL_FAILED: { status: 500, retryable: true, about: 'a package could not be installed' },
  CLIENT_GONE: { status: 499, retryable: false, about: 'the client went away before the response was complete' },
  TIMEOUT: { status: 502, retryable: false, about: 'limits.runtime_sec ran out' },
  REGISTRY: { status: 500, retryable: true, about: 'the registry could not be read or written' },
  TRIGGER: { status: 500, retryable: true, about: 'a trigger could not be set up' },
  UPLOAD_TOO_LARGE: { status: 413, retryable: false, about: 'the upload is larger than argyle.max_upload_mb' },
  LISTEN: { status: 500, retryable: false, about: 'an address cannot be listened on' },
  UNAUTHORIZED: { status: 401, retryable: false, about: 'argyle.admin_token is set and the request does not carry it' },
  CROSS_SITE: { status: 403, retryable: false, about: 'a browser says that a page of another origin sent the request' },
  HOST_REFUSED: { status: 403, retryable: false, about: 'the Host header is no name of this worker' },
  REQUEST_INVALID: { status: 400, retryable: false, about: 'the request is malformed' },
  BODY_SLOW: { status: 408, retryable: true, about: 'the request body arrives too slowly' },
  INTERNAL: { status: 500, retryable: false, about: 'a fault of the worker itself' },
  CUT_OFF: { status: 503, retryable: false, about: 'the worker stopped before the call ended' },
  SHUTTING_DOWN: { status: 503, retryable: true, about: 'the worker is stopping' },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** Any failure that a caller can see. `field` and `value` name the faulty input, if there is one. */
export class ArgyleError extends Error {
  readonly code: ErrorCode;
  readonly field: string | undefined;
  readonly value: string | undefined;
  /** Time after which a retry is likely to succeed, in whole seconds; undefined when unknown. */
  readonly retryAfterSec: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; field?: string; value?: string; retryAfterSec?: number } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'ArgyleError';
    this.code = code;
    this.field = options.field;
    this.value = options.value;
    this.retryAfterSec = options.retryAfterSec;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }
}

/** Converts any thrown value to an ArgyleError. An ArgyleError is returned unchanged. */
export function asArgyleError(code: ErrorCode, thrown: unknown): ArgyleError {
  if (thrown instanceof ArgyleError) return thrown;
  return new ArgyleError(code, thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown });
}

/** An error and its chain of causes. */
function* chainOf(thrown: unknown): Generator<object> {
  for (let error = thrown; typeof error === 'object' && error !== null;) {
    yield error;
    error = 'cause' in error ? error.cause : undefined;
  }
}

/** The first system call error in a chain of causes, such as `{ syscall: 'write', code: 'ENOSPC' }`. Pure. */
export function errnoOf(thrown: unknown): NodeJS.ErrnoException | undefined {
  for (const error of chainOf(thrown)) if ('syscall' in error && 'code' in error) return error as NodeJS.ErrnoException;
  return undefined;
}

/** Whether the cause is a full disk or an exhausted quota. Pure. */
export function isDiskFull(thrown: unknown): boolean {
  for (const error of chainOf(thrown)) {
    if ('code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')) return true;
  }
  return false;
}

/** Makes an error for which isDiskFull() is true, without a system error. */
export function diskFull(message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code: 'ENOSPC' });
}
