/** The interfaces of the lower layers that event/ needs, so that the server can be built without those layers. */
import type { Readable } from 'node:stream';
import type { InstallWhen } from '../config/types';
import type { Invocation } from '../lambda/serve/call/invocation';
import type { LogQuery } from '../log/functions/store';
import type { KafkaTrigger, LambdaConfig } from '../lambda/code/lambda-config';

/** Calls functions. Implemented by LambdaManager. */
export interface Invoker {
  /** @throws ArgyleError before the response has begun */
  invoke(name: string, invocation: Invocation): Promise<void>;
  /** One description per instance. */
  debug(): Promise<string[]>;
}

/** Stores functions. Implemented by Registry. */
export interface FunctionRegistry {
  list(): string[];
  upload(name: string, data: Readable, when?: InstallWhen): Promise<LambdaConfig>;
  /** Makes the next call of the function look for new code. */
  refresh?(name: string): void;
  /**
   * Progress of an upload's install, to be sent as JSON; undefined for a function that was not uploaded to this worker.
   */
  installOf(name: string): object | undefined;
  remove(name: string): Promise<void>;
  config(name: string): Promise<LambdaConfig | undefined>;
  /** The settings under which a function with this ol.yaml runs. */
  settingsOf?(config: LambdaConfig): object;
  checkLength(bytes: number): void;
}

/** Handles events other than HTTP requests for functions. */
export interface TriggerHost {
  /** Replaces the function's triggers. Does not wait for the connection to the event source. @throws ArgyleError */
  register(name: string, triggers: readonly KafkaTrigger[]): Promise<void>;
  /** Adds triggers to the function's; otherwise like register(). */
  add(name: string, triggers: readonly KafkaTrigger[]): Promise<void>;
  /** Removes the function's triggers. Has no effect when there are none. */
  unregister(name: string): Promise<void>;
}

/** Reads the logs of functions. Implemented by FunctionLogs. */
export interface FunctionLogReader {
  /** See FunctionLogs.read(). */
  read(name: string, query: LogQuery, follow?: (line: string) => void): Promise<string[] | undefined>;
  unfollow(name: string, follow: (line: string) => void): void;
}

/** The logger that event/ needs. pino's loggers implement it. */
export interface EventLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}
