/**
 * HTTP to one guest over its slot's socket. There is one keep-alive connection, and up to BootOptions.concurrency
 * connections in total. The additional connections are opened on demand. Each connection carries one request at a time.
 *
 * The constructor opens the first connection, before the guest runs. For a slot that is made ahead, this is long before
 * the first request. When the guest accepts, the connection already holds the boot frame. A guest may close its
 * connection; later connections carry no boot frame.
 */
import type { Socket } from 'node:net';
import { Client, type Dispatcher } from 'undici';
import type { ArgyleError } from '../errors';
import { parseBootReport, type BootInfo } from './answer/boot-report';
import { asFault, LENGTH_MISMATCH } from './answer/fault';
import { AnswerGuard, type AnswerHandler, type AnswerHooks } from './answer/guard';
import { AnswerMeter } from './answer/meter';
import { readPastRefusals } from './answer/refused-writes';

/** Parsed once, because every sandbox has its own client. */
const ORIGIN = new URL('http://root');
/**
 * Limit for the idle time of a connection, in ms. The limit exceeds the life of a sandbox, because an idle connection
 * costs only one descriptor.
 */
const KEEP_ALIVE_MS = 24 * 3600 * 1000;

export interface BootOptions {
  /** Called once, with the first answer. */
  onBoot?: ((info: BootInfo) => void) | undefined;
  /**
   * Called once when the guest breaks the protocol, with or without a request in flight. The guest serves no more
   * requests.
   */
  onFault?: (error: ArgyleError) => void;
  /** Closes the connection after the boot frame, so that the guest accepts other clients of its socket. */
  handOver?: boolean;
  /** Number of requests that the guest serves concurrently, each on its own connection. Default 1. */
  concurrency?: number;
}

type Handed = (...args: [null, Socket] | [Error, null]) => void;

/** An additional connection, with the hooks that check its answers. */
interface GuestConnection extends AnswerHooks {
  readonly client: Client;
}

/** Makes the undici client for one connection. @param hand gives the connection to undici's callback */
function clientOver(hand: (callback: Handed) => void): Client {
  return new Client(ORIGIN, {
    connect: (_options, callback) => {
      hand(callback);
    },
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    keepAliveTimeoutThreshold: 0,
    // AnswerMeter and head.ts hold the limits.
    maxHeaderSize: Number.MAX_SAFE_INTEGER,
  });
}

export class GuestHttp implements AnswerHooks {
  readonly meter = new AnswerMeter();
  private readonly client: Client;
  /** The connections after the first one. */
  private readonly others: GuestConnection[] = [];
  /** The connection for the boot frame. */
  private first: Socket | Promise<Socket>;
  /** True once `first` is no longer available: the client has `first`, or the hand-over closed `first`. */
  private handed = false;
  private options: BootOptions = {};
  private booted = false;
  private broken = false;

  /** @param connect opens a connection to the guest, or waits for a connection that the guest opens */
  constructor(private readonly connect: () => Socket | Promise<Socket>) {
    this.first = opened(connect());
    this.client = this.withFaultWatch(
      clientOver((callback) => {
        this.hand(callback);
      }),
    );
  }

  /** Reports protocol faults between answers as well. */
  private withFaultWatch(client: Client): Client {
    return client.on('disconnect', (_origin, _targets, error: NodeJS.ErrnoException) => {
      // AnswerGuard has already checked this answer: a 204 may declare a body.
      if (error.code === LENGTH_MISMATCH) return;
      const broke = asFault(error);
      if (broke !== undefined) this.onFault(broke);
    });
  }

  /** Writes the boot frame. Call this once, before any request. */
  boot(frame: Buffer, options: BootOptions = {}): void {
    const { handOver = false } = options;
    this.options = options;
    // The connection ended while the slot was ready. The guest skips a closed connection in its backlog.
    if (!(this.first instanceof Promise) && this.first.destroyed) this.first = opened(this.connect());
    if (handOver) this.handed = true;
    const writeFrame = (socket: Socket): void => {
      if (handOver) {
        socket.end(frame);
        socket.resume();
      } else {
        socket.write(frame);
      }
    };
    // When the guest never connects, the owner of the guest reports the failure and destroys the client.
    whenThere(this.first, writeFrame);
  }

  /** Sends a request. The answer passes answer/guard.ts, which extracts the boot report from the first answer. */
  dispatch(options: Dispatcher.DispatchOptions, handler: AnswerHandler): void {
    const { concurrency = 1 } = this.options;
    const line = concurrency === 1 || this.client.stats.size === 0 ? undefined : this.freeConnection(concurrency);
    if (line === undefined) this.client.dispatch(options, new AnswerGuard(options.method, handler, this));
    else line.client.dispatch(options, new AnswerGuard(options.method, handler, line));
  }

  /** Handles the boot report. Reports in later answers are ignored. */
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

  /** Whether no request waits or is in flight. */
  get isIdle(): boolean {
    return this.client.stats.size === 0 && this.others.every(({ client }) => client.stats.size === 0);
  }

  /** Closes the connection; requests in flight fail with `error`. */
  destroy(error: Error): void {
    if (!this.handed) whenThere(this.first, (socket) => socket.destroy());
    for (const client of [this.client, ...this.others.map((line) => line.client)])
      client.destroy(error, () => undefined);
  }

  /** Returns a connection after the first one that has no request; undefined when the limit is reached. */
  private freeConnection(concurrency: number): GuestConnection | undefined {
    const free = this.others.find(({ client }) => client.stats.size === 0);
    if (free !== undefined || this.others.length + 1 >= concurrency) return free;
    const meter = new AnswerMeter();
    const client = clientOver((callback) => {
      handOver(opened(this.connect()), meter, callback);
    });
    const line: GuestConnection = {
      client: this.withFaultWatch(client),
      meter,
      onBoot: (report) => {
        this.onBoot(report);
      },
      onFault: (error) => {
        this.onFault(error);
      },
    };
    this.others.push(line);
    return line;
  }

  private hand(callback: Handed): void {
    const next = this.handed ? this.connect() : this.first;
    this.handed = true;
    handOver(next, this.meter, callback);
  }
}

/** Gives a client its connection as soon as the connection exists, and attaches the meter. */
function handOver(next: Socket | Promise<Socket>, meter: AnswerMeter, callback: Handed): void {
  const take = (socket: Socket): void => {
    meter.watch(socket);
    readPastRefusals(socket, () => meter.hasBytes);
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
    // The client is inside its own resume() and would miss an answer that arrives before resume() returns.
    queueMicrotask(() => {
      take(next);
    });
  }
}

/**
 * Adds an error listener: before the client takes over the socket, an error would be uncaught. The client later sees a
 * destroyed socket.
 */
function opened<T extends Socket | Promise<Socket>>(connection: T): T {
  whenThere(connection, (socket) => socket.on('error', () => undefined));
  return connection;
}

/** Calls `use` with the connection: synchronously for a socket, later for a promise, never when the promise rejects. */
function whenThere(connection: Socket | Promise<Socket>, use: (socket: Socket) => unknown): void {
  if (connection instanceof Promise) connection.then(use, () => undefined);
  else use(connection);
}
