/** Logs of functions' output: worker.out, and one log for each function. */
import { join } from 'node:path';
import { homeOf } from '../../config/places';
import type { Config } from '../../config';
import type { ErrorCode } from '../../errors';
import type { Call } from '../../lambda/serve/call/call';
import type { RootLog } from '../../log';
import { FunctionLogs } from '../../log/functions/store';
import type { LogSink } from '../../sandbox/log-tap';

const KB = 1024;
const MB = 1024 * KB;
/** Longest text of an error in a function's log, in characters. */
const MAX_ERROR = 1000;
/**
 * Errors that are not written to functions' logs. They are no fault of a function, or the function does not exist: a
 * client can call any name.
 */
export const NOT_LOGGED: ReadonlySet<ErrorCode> = new Set([
  'LAMBDA_NOT_FOUND',
  'LAMBDA_NAME',
  'CLIENT_GONE',
  'SHUTTING_DOWN',
  'CUT_OFF',
]);

export interface WorkerLogs {
  /** Undefined where `argyle.function_log_kb` is 0. */
  functions: FunctionLogs | undefined;
  /** Logs the output of sandboxes. Undefined unless `log_output` is set. */
  printed: LogSink | undefined;
  /** Writes why a call failed to the log of its function. */
  callEnded(name: string, call: Call): void;
}

/** @param onDropped is called with a number of bytes of output that were not logged */
export function makeLogs(
  config: Config,
  log: RootLog,
  onDropped: (bytes: number, why: 'rate' | 'disk') => void,
): WorkerLogs {
  const { argyle, log_output: prints } = config;
  const functions =
    argyle.function_log_kb === 0 || config.server_mode === 'sock'
      ? undefined
      : new FunctionLogs({
          dir: join(homeOf(config), 'logs'),
          functionBytes: argyle.function_log_kb * KB,
          totalBytes: argyle.function_logs_mb * MB,
          onDropped: (bytes) => {
            onDropped(bytes, 'disk');
          },
        });
  const worker = log.part('sandbox');
  const printed: LogSink = {
    line: ({ source, lambda, sandbox, requestId, stream }, text) => {
      if (lambda === '') {
        worker.info({ source }, text);
        return;
      }
      const call = requestId === '' ? {} : { request_id: requestId };
      worker.info({ source, lambda, sandbox, ...call, stream }, text);
      functions?.write({ lambda, sandbox, requestId, stream, text });
    },
    dropped: (bytes) => {
      onDropped(bytes, 'rate');
    },
  };
  return {
    functions,
    printed: prints ? printed : undefined,
    callEnded: (lambda, { id: requestId, sandbox, fault }) => {
      if (fault === undefined || NOT_LOGGED.has(fault.code)) return;
      const text = `${fault.code}: ${fault.message.slice(0, MAX_ERROR)}`;
      functions?.write({ lambda, sandbox, requestId, stream: 'worker', text });
    },
  };
}
