/**
 * HTTP to one guest over its slot's socket, on one keep-alive connection.
 *
 * The connection is opened as soon as this is constructed: before the guest runs, and for a slot that is made ahead
 * long before anybody wants it. The guest finds the connection waiting when it accepts, and on it the boot frame. Later
 * connections (a guest may close its own) carry no boot frame.
 */
import type { Socket } from 'node:net';
import { Client, type Dispatcher } from 'undici';
import type { ArgyleError } from '../errors';
import { parseBootReport, type BootInfo } from './answer/boot-report';
import { asFault } from './answer/fault';
import { AnswerGuard, type AnswerHandler, type AnswerHooks } from './answer/guard';
import { MAX_HEAD_BYTES } from './answer/head';
import { AnswerMeter } from './answer/meter';

/** Parsed once: every sandbox has a client of its own. */
const ORIGIN = new URL('http://root');
/** An idle connection costs a descriptor and nothing else, so it lives as long as its sandbox, ms. */
const KEEP_ALIVE_MS = 24 * 3600 * 1000;

export interface BootOptions {
  /** Called once, with the first answer. */
  onBoot?: ((info: BootInfo) => void) | undefined;
  /** Called once when the guest sends what is no answer, whether or not one is waited for. It serves no more then. */
  onFault?: (error: ArgyleError) => void;
  /** Closes the connection behind the boot frame, so that the guest turns to other clients of its socket. */
  handOver?: boolean;
}

export class GuestHttp implements AnswerHooks {
  readonly meter = new AnswerMeter();
  private readonly client: Client;
  /** The connection that is to carry the boot frame. */
  private first: Socket | Promise<Socket>;
  /** Whether the client has it, or is to have none. */
  private handed = false;
  private options: BootOptions = {};
  private booted = false;
  private broken = false;

  /** @param connect opens a connection to the guest, or promises one that the guest opens. */
  constructor(private readonly connect: () => Socket | Promise<Socket>) {
    this.first = opened(connect());
    this.client = new Client(ORIGIN, {
      connect: (_options, callback) => {
        this.hand(callback);
      },
      pipelining: 1,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      keepAliveTimeoutThreshold: 0,
      maxHeaderSize: MAX_HEAD_BYTES,
    });
    this.client.on('disconnect', (_origin, _targets, error) => {
      const broke = asFault(error);
      if (broke !== undefined) this.onFault(broke);
    });
  }

  /** Writes the boot frame. To be called once, before any request. */
  boot(frame: Buffer, options: BootOptions = {}): void {
    const { handOver = false } = options;
    this.options = options;
    // It failed or ended while the slot waited; the guest passes it over.
    if (!(this.first instanceof Promise) && this.first.destroyed) this.first = opened(this.connect());
    if (handOver) this.handed = true;
    const greet = (socket: Socket): void => {
      if (handOver) {
        socket.end(frame);
        socket.resume();
      } else {
        socket.write(frame);
      }
    };
    // A guest that never comes is told of by whoever holds it: the client is destroyed then.
    whenThere(this.first, greet);
  }

  /** Sends a request; the answer goes through answer/guard.ts, which takes the boot report out of the first one. */
  dispatch(options: Dispatcher.DispatchOptions, handler: AnswerHandler): void {
    this.client.dispatch(options, new AnswerGuard(options.method, handler, this));
  }

  /** Reports of later answers are dropped. */
  onBoot(report: string): void {
    if (this.booted) return;
    this.booted = true;
    const info = parseBootReport(report);
    if (info !== undefined) this.options.onBoot?.(info);
  }

  onFault(error: ArgyleError): void {
    if (this.broken) return;
    this.broken = true;
    this.options.onFault?.(error);
  }

  /** Whether no request is waiting or being served. */
  get isIdle(): boolean {
    return this.client.stats.size === 0;
  }

  /** Closes the connection; requests in flight fail with `error`. */
  destroy(error: Error): void {
    if (!this.handed) whenThere(this.first, (socket) => socket.destroy());
    this.client.destroy(error, () => undefined);
  }

  private hand(callback: (...args: [null, Socket] | [Error, null]) => void): void {
    const next = this.handed ? this.connect() : this.first;
    this.handed = true;
    const take = (socket: Socket): void => {
      this.meter.watch(socket);
      if (socket.destroyed) {
        callback(socket.errored ?? new Error('the connection to the sandbox is closed'), null);
      } else if (socket.connecting) {
        const failed = (error: Error): void => {
          callback(error, null);
        };
        socket.once('error', failed);
        socket.once('connect', () => {
          socket.off('error', failed);
          callback(null, socket);
        });
      } else {
        callback(null, socket);
      }
    };
    if (next instanceof Promise) {
      next.then(take, (error: unknown) => {
        callback(error instanceof Error ? error : new Error(String(error)), null);
      });
    } else {
      // The client is inside its own resume() here and would not see an answer before that returns.
      queueMicrotask(() => {
        take(next);
      });
    }
  }
}

/** Until the client takes the socket over an error must not be uncaught; the client meets it as a destroyed socket. */
function opened<T extends Socket | Promise<Socket>>(connection: T): T {
  whenThere(connection, (socket) => socket.on('error', () => undefined));
  return connection;
}

/** Uses a connection, at once when it is no promise; never when it does not come. */
function whenThere(connection: Socket | Promise<Socket>, use: (socket: Socket) => unknown): void {
  if (connection instanceof Promise) connection.then(use, () => undefined);
  else use(connection);
}
