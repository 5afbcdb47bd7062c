/**
 * Proxies with undici, in the designs that a worker with several event loops could have: `proxy.js SHAPE PORT DIR`,
 * with the backends' unix sockets 0.sock, 1.sock … in DIR. `one`: one process. `share`: two processes share the port;
 * each has its own connections to all backends. `front`: two processes only parse HTTP and pass each request to a
 * third.
 */
import cluster from 'node:cluster';
import { readdirSync } from 'node:fs';
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { Pool } from 'undici';

const LOOPS = 2;
const [shape = '', port = '', dir = ''] = process.argv.slice(2);
const corePath = join(dir, 'core');

type Call = (body: Buffer) => Promise<Buffer>;

/** Sends calls to the backends in turn. */
function backends(): Call {
  const sockets = readdirSync(dir).filter((name) => name.endsWith('.sock'));
  const pools = sockets.map((name) => new Pool('http://backend', { socketPath: join(dir, name), pipelining: 1 }));
  let turn = 0;
  return async (body) => {
    const pool = pools[turn++ % pools.length];
    if (pool === undefined) throw new Error(`no sockets in ${dir}`);
    const answer = await pool.request({ method: 'POST', path: '/', body });
    return Buffer.from(await answer.body.arrayBuffer());
  };
}

function listen(call: Call): void {
  const serve = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const parts: Buffer[] = [];
    for await (const part of req) parts.push(part as Buffer);
    res.end(await call(Buffer.concat(parts)));
  };
  createHttp((req, res) => void serve(req, res)).listen(Number(port), '127.0.0.1');
}

/** Parses frames of id, length and body. One read may contain several frames. */
function frames(socket: Socket, onFrame: (id: number, body: Buffer) => void): (id: number, body: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  let corked = false;
  socket.on('data', (data: Buffer) => {
    rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
    let at = 0;
    while (rest.length - at >= 8 && rest.length - at >= 8 + rest.readUInt32LE(at + 4)) {
      const end = at + 8 + rest.readUInt32LE(at + 4);
      onFrame(rest.readUInt32LE(at), rest.subarray(at + 8, end));
      at = end;
    }
    rest = rest.subarray(at);
  });
  return (id, body) => {
    if (!corked) {
      corked = true;
      socket.cork();
      setImmediate(() => {
        corked = false;
        socket.uncork();
      });
    }
    const head = Buffer.alloc(8);
    head.writeUInt32LE(id, 0);
    head.writeUInt32LE(body.length, 4);
    socket.write(head);
    socket.write(body);
  };
}

/** Sends calls through the core process, which alone is connected to the backends. */
function throughCore(): Call {
  const waiting = new Map<number, (body: Buffer) => void>();
  let last = 0;
  const send = frames(connect(corePath), (id, body) => {
    waiting.get(id)?.(body);
    waiting.delete(id);
  });
  return (body) =>
    new Promise((resolve) => {
      last = (last + 1) >>> 0;
      waiting.set(last, resolve);
      send(last, body);
    });
}

function core(onReady: () => void): void {
  const call = backends();
  createServer((socket) => {
    const send = frames(socket, (id, body) => void call(Buffer.from(body)).then((answer) => send(id, answer)));
  }).listen(corePath, onReady);
}

const fork = (): void => {
  for (let loop = 0; loop < LOOPS; loop++) cluster.fork();
};
if (cluster.isPrimary) {
  process.on('disconnect', () => process.exit());
  if (shape === 'one') listen(backends());
  else if (shape === 'share') fork();
  else core(fork);
} else listen(shape === 'share' ? backends() : throughCore());
