/** The worker's log: one JSON object a line on stdout, which `ol worker up -d` sends to worker.out. */
import { destination, pino, stdTimeFunctions, type DestinationStream, type Logger } from 'pino';

/** Names of the `trace.*` settings. */
export type TraceName = 'cgroups' | 'memory' | 'evictor' | 'package' | 'latency';

export type Log = Logger;

export interface RootLog {
  logger: Log;
  /** A child that names its part of the worker. */
  part(name: string): Log;
  /** A child whose debug() lines appear only when `trace.<name>` is on. */
  tracer(name: TraceName): Log;
}

export interface LogOptions {
  trace?: Partial<Record<TraceName, boolean>>;
  /** Default: stdout, written synchronously, so that nothing is lost when the process dies. */
  stream?: DestinationStream;
}

/** Makes the root of all loggers. */
export function createLog(options: LogOptions = {}): RootLog {
  const stream = options.stream ?? destination({ dest: 1, sync: true });
  // `pid` and `hostname` of every line are the same: they would only make worker.out harder to read.
  const logger = pino({ level: 'info', base: null, timestamp: stdTimeFunctions.isoTime }, stream);
  return {
    logger,
    part: (name) => logger.child({ part: name }),
    tracer: (name) => logger.child({ trace: name }, { level: options.trace?.[name] === true ? 'debug' : 'info' }),
  };
}
