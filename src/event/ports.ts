/** What event/ needs of the layers below, as interfaces, so that the server can be built without them. */
import type { Readable } from 'node:stream';
import type { InstallWhen } from '../config/types';
import type { Invocation } from '../lambda/invocation';
import type { KafkaTrigger, LambdaConfig } from '../lambda/lambda-config';

/** Calls functions; LambdaManager is one. */
export interface Invoker {
  /** @throws ArgyleError before the response has begun */
  invoke(name: string, invocation: Invocation): Promise<void>;
  /** One description an instance. */
  debug(): Promise<string[]>;
}

/** Stores functions; Registry is one. */
export interface FunctionRegistry {
  list(): string[];
  upload(name: string, data: Readable, when?: InstallWhen): Promise<LambdaConfig>;
  /** How far the install of an upload is, to be sent as JSON; undefined for a function that was not uploaded here. */
  installOf(name: string): object | undefined;
  remove(name: string): Promise<void>;
  config(name: string): Promise<LambdaConfig | undefined>;
  checkLength(bytes: number): void;
}

/** Listens for events other than HTTP requests on behalf of functions. */
export interface TriggerHost {
  /** Replaces the function's triggers; does not wait for what they listen to. @throws ArgyleError */
  register(name: string, triggers: readonly KafkaTrigger[]): Promise<void>;
  /** Adds to the function's triggers, as register(). */
  add(name: string, triggers: readonly KafkaTrigger[]): Promise<void>;
  /** Ends the function's triggers; does nothing when it has none. */
  unregister(name: string): Promise<void>;
}

/** What event/ logs; pino's loggers satisfy it. */
export interface EventLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}
