/** The worker's log: one JSON object per line on stdout. `ol worker up -d` redirects stdout to worker.out. */
import { fstatSync } from 'node:fs';
import { destination, pino, stdTimeFunctions, type DestinationStream, type LogFn, type Logger } from 'pino';
import { LogFile } from './file';
import { codeOf, isReport, Repeats } from './repeats';

export { isOpenAs, LogFile } from './file';

/** Names of the `trace.*` settings. */
export type TraceName = 'cgroups' | 'memory' | 'evictor' | 'package' | 'latency';

export type Log = Logger;

export interface RootLog {
  logger: Log;
  /** A child logger with the name of a part of the worker. */
  part(name: string): Log;
  /** A child logger whose debug() lines appear only with `trace.<name>`. */
  tracer(name: TraceName): Log;
  /** Writes all pending repeat counts. Call it before the process ends. */
  flush(): void;
}

export interface LogOptions {
  trace?: Partial<Record<TraceName, boolean>>;
  /** Default: stdout, written synchronously, so that no line is lost when the process dies. */
  stream?: DestinationStream;
}

/** A stream to stdout. Write errors drop lines, since an error of the log must not end the worker. */
function stdout(): DestinationStream {
  // Pino's own stream buffers lines in memory when the disk is full, and does not resume when there is space again.
  if (fstatSync(1).isFile()) return new LogFile({ fd: 1, file: '', maxBytes: 0, keep: 0 });
  const stream = destination({ dest: 1, sync: true });
  stream.on('error', () => undefined);
  return stream;
}

/** Writes a repeated error once, and later the number of repetitions. */
function countRepeats(repeats: Repeats) {
  return function (this: Logger, args: Parameters<LogFn>, method: LogFn, level: number): void {
    const [first, second] = args as unknown[];
    const fields = typeof first === 'object' ? first : undefined;
    const message = typeof first === 'string' ? first : typeof second === 'string' ? second : '';
    if (isReport(level, fields)) {
      const code = codeOf(fields);
      const tell = (repeated: number): void => {
        const counted = { ...(code === '' ? {} : { code }), repeated };
        method.apply(this, [counted, `${message} (repeated ${repeated} times)`]);
      };
      if (!repeats.admit(fields, message, tell)) return;
    }
    method.apply(this, args);
  };
}

/** Makes the root logger. */
export function createLog(options: LogOptions = {}): RootLog {
  const repeats = new Repeats();
  // `pid` and `hostname` are the same on every line, so they are left out.
  const logger = pino(
    { level: 'info', base: null, timestamp: stdTimeFunctions.isoTime, hooks: { logMethod: countRepeats(repeats) } },
    options.stream ?? stdout(),
  );
  return {
    logger,
    part: (name) => logger.child({ part: name }),
    tracer: (name) => logger.child({ trace: name }, { level: options.trace?.[name] === true ? 'debug' : 'info' }),
    flush: () => {
      repeats.flush();
    },
  };
}
