/**
 * The worker's listening socket for one container's guest, bound read-only into the container.
 *
 * In a slot, the guest listens and the worker connects. In a container, the worker listens and the guest connects. The
 * engine cannot pass a descriptor to a container. If a guest could bind a socket in a directory of the host, the guest
 * could also write to the host's disk. The guest connects, serves that connection until the connection ends, and
 * connects again. Each connection is a request for work.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { ArgyleError } from '../../errors';

/**
 * Limit for connections of one guest. The guest keeps one connection. The guest may open the next connection before the
 * worker notices the end of the last one.
 */
const MAX_CONNECTIONS = 4;

interface Waiter {
  resolve: (socket: Socket) => void;
  reject: (error: Error) => void;
}

export class GuestListener {
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
   * Listens at `path`. A guest of any user can connect if it can see the path.
   * @throws ArgyleError SANDBOX_CREATE
   */
  static async listen(path: string): Promise<GuestListener> {
    return new GuestListener(await listenAt(path, true));
  }

  /** Raises the limit for a guest that keeps `connections` connections, one for each concurrent request. */
  widen(connections: number): void {
    this.server.maxConnections = MAX_CONNECTIONS - 1 + connections;
  }

  /** Returns the guest's next connection; rejects when the listener is closed before. */
  take(): Promise<Socket> {
    if (this.closed !== undefined) return Promise.reject(this.closed);
    for (let socket = this.ready.shift(); socket !== undefined; socket = this.ready.shift()) {
      if (!socket.destroyed) return Promise.resolve(socket);
    }
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  /** Accepts clients of the guest at `path` and connects them to the guest one after the other. */
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

  /** Closes all sockets; pending take() calls reject with `error`. Idempotent. */
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
      // A guest that connects and disconnects repeatedly must not fill the list.
      socket.once('close', () => {
        const at = this.ready.indexOf(socket);
        if (at >= 0) this.ready.splice(at, 1);
      });
    } else waiter.resolve(socket);
  }
}

async function listenAt(path: string, byAnyone: boolean): Promise<Server> {
  // Half-open connections: a client that has closed its sending side still gets its answer.
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
