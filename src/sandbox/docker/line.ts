/**
 * Where a container's guest reaches the worker: a listening socket of the worker's, bound read-only into the container.
 *
 * A slot's guest listens and the worker connects; here it is the other way round. The engine can't hand a descriptor to
 * a container, and a directory in which a guest could bind a socket would let it write to the host's disk. The guest
 * dials once, serves that connection until it ends, and dials again; its request for work is the connection itself.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { ArgyleError } from '../../errors';

/** A guest keeps one connection and may have dialled the next before the end of the last is noticed. */
const MAX_CONNECTIONS = 4;

interface Waiter {
  resolve: (socket: Socket) => void;
  reject: (error: Error) => void;
}

export class GuestLine {
  private readonly waiting: Waiter[] = [];
  private readonly ready: Socket[] = [];
  private readonly clients = new Set<Socket>();
  private closed: Error | undefined;
  private front: Server | undefined;

  private constructor(private readonly server: Server) {
    server.maxConnections = MAX_CONNECTIONS;
    server.on('connection', (socket: Socket) => {
      this.dialled(socket);
    });
  }

  /**
   * Listens at `path`; any user's guest may dial there who can see it.
   * @throws ArgyleError SANDBOX_CREATE
   */
  static async listen(path: string): Promise<GuestLine> {
    return new GuestLine(await listenAt(path, true));
  }

  /** The guest's next connection; rejects when the line is closed before there is one. */
  take(): Promise<Socket> {
    if (this.closed !== undefined) return Promise.reject(this.closed);
    for (let socket = this.ready.shift(); socket !== undefined; socket = this.ready.shift()) {
      if (!socket.destroyed) return Promise.resolve(socket);
    }
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  /** Serves clients of the guest at `path`, one after the other, as if the guest listened there itself. */
  async serve(path: string): Promise<void> {
    this.front = await listenAt(path, false);
    this.front.on('connection', (client: Socket) => {
      this.clients.add(client);
      client.on('error', () => undefined);
      client.on('close', () => this.clients.delete(client));
      this.take().then(
        (guest) => {
          join(client, guest);
        },
        () => client.destroy(),
      );
    });
  }

  /** Ends everything; whoever waits for the guest gets `error`. Idempotent. */
  close(error: Error): void {
    if (this.closed !== undefined) return;
    this.closed = error;
    this.server.close();
    this.front?.close();
    for (const socket of [...this.ready.splice(0), ...this.clients]) socket.destroy();
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }

  private dialled(socket: Socket): void {
    socket.on('error', () => undefined);
    const waiter = this.waiting.shift();
    if (this.closed !== undefined) socket.destroy();
    else if (waiter === undefined) {
      this.ready.push(socket);
      // A guest that dials and hangs up over and over must not fill the list.
      socket.once('close', () => {
        const at = this.ready.indexOf(socket);
        if (at >= 0) this.ready.splice(at, 1);
      });
    } else waiter.resolve(socket);
  }
}

async function listenAt(path: string, byAnyone: boolean): Promise<Server> {
  // Half-open, so that a client which has sent all it has still gets its answer.
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: false });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(new ArgyleError('SANDBOX_CREATE', `could not listen for a guest: ${cause.message}`, { cause }));
    });
    server.listen({ path, readableAll: byAnyone, writableAll: byAnyone }, resolve);
  });
  server.on('error', () => undefined);
  return server;
}

function join(client: Socket, guest: Socket): void {
  client.pipe(guest);
  guest.pipe(client);
  client.on('close', () => guest.destroy());
  guest.on('close', () => client.destroy());
}
