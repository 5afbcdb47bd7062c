/** One line of a function's log. */

/** `worker`: the worker's messages about the function's calls. The other streams are the function's own. */
export type LogStream = 'stdout' | 'stderr' | 'worker';

export type LogLevel = 'info' | 'warn' | 'error';

export interface FunctionLine {
  lambda: string;
  /** Id of the sandbox; '' for none. */
  sandbox: string;
  /** Id of the call that was running when the line was written; '' for none. */
  requestId: string;
  stream: LogStream;
  text: string;
}

/**
 * POLICY: stderr has one level. Programs write warnings and errors to stderr, and Python's logging writes everything
 * there.
 */
const LEVELS: Readonly<Record<LogStream, LogLevel>> = { stdout: 'info', stderr: 'warn', worker: 'error' };

/** Start of every line. `time` comes first, so that lines can be compared without parsing. */
const PREFIX = '{"time":"';
/** Length of an ISO 8601 time in UTC with milliseconds. */
const TIME_LENGTH = 24;

export function levelOf(stream: LogStream): LogLevel {
  return LEVELS[stream];
}

/** Formats the line as JSON without a newline. Empty fields are left out. */
export function lineJson({ lambda, sandbox, requestId, stream, text }: FunctionLine, atMs: number): string {
  return JSON.stringify({
    time: new Date(atMs).toISOString(),
    level: LEVELS[stream],
    lambda,
    ...(sandbox === '' ? {} : { sandbox }),
    ...(requestId === '' ? {} : { request_id: requestId }),
    stream,
    msg: text,
  });
}

/** Whether a line of a file is a complete line of lineJson(). A write to a full disk can leave a partial line. */
export function isWhole(line: string): boolean {
  return line.startsWith(PREFIX) && line.endsWith('"}');
}

/** The time of a complete line. The texts sort by time. */
export function timeOf(line: string): string {
  return line.slice(PREFIX.length, PREFIX.length + TIME_LENGTH);
}
