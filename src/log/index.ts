/** The worker's log: one JSON object a line on stdout, which `ol worker up -d` sends to worker.out. */
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
  /** A child that names its part of the worker. */
  part(name: string): Log;
  /** A child whose debug() lines appear only when `trace.<name>` is on. */
  tracer(name: TraceName): Log;
  /** Writes what is still counted, for a process that is about to end. */
  flush(): void;
}

export interface LogOptions {
  trace?: Partial<Record<TraceName, boolean>>;
  /** Default: stdout, written synchronously, so that nothing is lost when the process dies. */
  stream?: DestinationStream;
}

/** stdout. What cannot be written is lost: an error of the log must not end the worker. */
function stdout(): DestinationStream {
  // Pino's own stream keeps in memory what a full disk refuses, and does not go on when there is room again.
  if (fstatSync(1).isFile()) return new LogFile({ fd: 1, file: '', maxBytes: 0, keep: 0 });
  const stream = destination({ dest: 1, sync: true });
  stream.on('error', () => undefined);
  return stream;
}

/** Writes errors that repeat once, and then how often they came again. */
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

/** Makes the root of all loggers. */
export function createLog(options: LogOptions = {}): RootLog {
  const repeats = new Repeats();
  // `pid` and `hostname` of every line are the same: they would only make worker.out harder to read.
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
