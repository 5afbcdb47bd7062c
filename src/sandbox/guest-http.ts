/**
 * HTTP to one guest over its slot's socket, on one keep-alive connection.
 *
 * The connection is opened as soon as this is constructed: before the guest runs, and for a slot that is made ahead
 * long before anybody wants it. The guest finds the connection waiting when it accepts, and on it the boot frame. Later
 * connections (a guest may close its own) carry no boot frame.
 */
import type { Socket } from 'node:net';
import { Client, type Dispatcher } from 'undici';

/** What a leaf reports with its first response. */
export interface BootInfo {
  /** Time that the handler's import took, ms. */
  importMs: number;
  /** Top-level modules of installed packages that the handler has loaded. */
  modules: string[];
  /** Submodules that it loaded, of packages which its zygote had imported, by spec; only when it was told to learn. */
  submodules?: Record<string, string[]>;
}

const BOOT_HEADER = 'x-argyle-boot';
/** Parsed once: every sandbox has a client of its own. */
const ORIGIN = new URL('http://root');
/** An idle connection costs a descriptor and nothing else, so it lives as long as its sandbox, ms. */
const KEEP_ALIVE_MS = 24 * 3600 * 1000;

export class GuestHttp {
  private readonly client: Client;
  /** The connection that is to carry the boot frame. */
  private first: Socket | Promise<Socket>;
  /** Whether the client has it, or is to have none. */
  private handed = false;
  private onBoot: ((info: BootInfo) => void) | undefined;
  private booted = false;

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
    });
  }

  /**
   * Writes the boot frame. To be called once, before any request.
   * @param onBoot called once, with the first response.
   * @param handOver closes the connection behind the boot frame, so that the guest turns to other clients of its socket.
   */
  boot(frame: Buffer, onBoot?: (info: BootInfo) => void, handOver = false): void {
    this.onBoot = onBoot;
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

  /** As Dispatcher.dispatch; the boot report is taken out of the first response. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.client.dispatch(options, this.booted ? handler : this.watchBoot(handler));
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

  private watchBoot(inner: Dispatcher.DispatchHandler): Dispatcher.DispatchHandler {
    return {
      onRequestStart: (controller, context) => inner.onRequestStart?.(controller, context),
      onRequestUpgrade: (controller, status, headers, socket) =>
        inner.onRequestUpgrade?.(controller, status, headers, socket),
      onResponseStart: (controller, status, headers, message) => {
        const report = headers[BOOT_HEADER];
        if (report !== undefined && !this.booted) {
          this.booted = true;
          delete headers['x-argyle-boot'];
          if (Array.isArray(controller.rawHeaders))
            controller.rawHeaders = withoutBoot<Buffer | string>(controller.rawHeaders) as Buffer[];
          const info = parseReport(String(report));
          if (info !== undefined) this.onBoot?.(info);
        }
        inner.onResponseStart?.(controller, status, headers, message);
      },
      onResponseData: (controller, chunk) => inner.onResponseData?.(controller, chunk),
      onResponseEnd: (controller, trailers) => inner.onResponseEnd?.(controller, trailers),
      onResponseError: (controller, error) => inner.onResponseError?.(controller, error),
    };
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

/** Raw headers are name, value, name, value…; the pair is cut out. */
function withoutBoot<T extends Buffer | string>(raw: T[]): T[] {
  return raw.filter((_, index) => raw[index - (index % 2)]?.toString().toLowerCase() !== BOOT_HEADER);
}

/** The report is the guest's word: anything malformed counts as none. */
function parseReport(text: string): BootInfo | undefined {
  try {
    const report = JSON.parse(text) as { import_ms?: unknown; modules?: unknown; submodules?: unknown };
    const { import_ms: importMs, modules, submodules } = report;
    if (typeof importMs !== 'number' || !Number.isFinite(importMs) || importMs < 0) return undefined;
    const info = { importMs, modules: strings(modules) };
    if (typeof submodules !== 'object' || submodules === null) return info;
    const bySpec = Object.entries(submodules).map(([spec, names]) => [spec, strings(names)] as const);
    return { ...info, submodules: Object.fromEntries(bySpec) };
  } catch {
    return undefined;
  }
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
}
