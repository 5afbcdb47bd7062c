/** Requests and chunks that arrive in one packet. */
import type { RequestListener, Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { createHttpServer } from '../../../../src/event/http/listeners';

let server: Server;
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function listening(listener: RequestListener): Promise<number> {
  server = createHttpServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** Sends bytes in one write and returns everything until the connection ends. */
function raw(port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
  socket.setTimeout(10_000, () => socket.destroy(new Error('the connection stays open')));
  return text(socket);
}

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
const post = (chunks: string): string =>
  `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`;

describe('requests that arrive together', () => {
  it('are handled one after the other, and answered in order', async () => {
    let running = 0;
    let most = 0;
    const port = await listening((req, res) => {
      most = Math.max(most, ++running);
      setTimeout(
        () => {
          running--;
          res.end(`<${req.url ?? ''}>`);
        },
        Number(req.url?.slice(1)) % 3,
      );
    });
    const count = 200;
    const all = Array.from({ length: count }, (_, i) => get(`/${i}`, i === count - 1 ? 'Connection: close\r\n' : ''));
    const answers = await raw(port, all.join(''));
    expect(answers.match(/<\/\d+>/g)).toEqual(Array.from({ length: count }, (_, i) => `</${i}>`));
    expect(most).toBe(1);
  });

  it('leave turns to other connections between them', async () => {
    const order: string[] = [];
    const port = await listening((req, res) => {
      order.push(req.url ?? '');
      // Each request blocks the loop for some time, as a call of a function does.
      const endMs = performance.now() + 2;
      while (performance.now() < endMs);
      res.end();
    });
    const greedy = raw(port, get('/greedy').repeat(99) + get('/greedy', 'Connection: close\r\n'));
    while (order.length === 0) await sleep(1);
    await raw(port, get('/other', 'Connection: close\r\n'));
    expect(order.length).toBeLessThan(50);
    await greedy;
  });

  it('end their own connection after the limit, and no other connection', async () => {
    let calls = 0;
    const port = await listening((req, res) => {
      if (req.url === '/other') res.end('here');
      else setTimeout(() => res.end(`<${String(++calls)}>`), 1);
    });
    const ended = raw(port, get('/greedy').repeat(1000));
    expect(await raw(port, get('/other', 'Connection: close\r\n'))).toMatch(/^HTTP\/1.1 200 OK\r\n[^]*here$/);
    const answers = await ended;
    expect(answers.match(/<\d+>/g)).toEqual(Array.from({ length: 257 }, (_, i) => `<${String(i + 1)}>`));
    expect(answers.match(/connection: close/gi)).toHaveLength(1);
    expect(calls).toBe(257);
  });

  it('may have bodies, and each gets its own', async () => {
    const port = await listening((req, res) => {
      void text(req).then((body) => res.end(`<${body}>`));
    });
    const bodies = Array.from({ length: 20 }, (_, i) => post(`3\r\na${String(i).padStart(2, '0')}\r\n1\r\n.\r\n`));
    const answers = await raw(port, bodies.join('') + get('/', 'Connection: close\r\n'));
    const wanted = Array.from({ length: 20 }, (_, i) => `<a${String(i).padStart(2, '0')}.>`);
    expect(answers.match(/<.*?>/g)).toEqual([...wanted, '<>']);
  });
});

describe('chunks that arrive together', () => {
  it('are combined, in order and complete', async () => {
    let reads = 0;
    const port = await listening((req, res) => {
      req.on('data', () => reads++);
      void buffer(req).then((body) => res.end(body));
    });
    const digits = Array.from({ length: 50_000 }, (_, i) => String(i % 10)).join('');
    const chunks = digits.replace(/./g, '1\r\n$&\r\n');
    const answer = await raw(port, post(chunks) + get('/', 'Connection: close\r\n'));
    expect(answer).toContain(`\r\n\r\n${digits}HTTP/1.1 200 OK`);
    expect(reads).toBeLessThan(digits.length / 10);
  });

  it('stop at flow control while no reader takes them', async () => {
    let resume = (): void => undefined;
    let waiting = 0;
    const port = await listening((req, res) => {
      resume = () => {
        waiting = req.readableLength;
        void buffer(req).then((body) => res.end(String(body.length)));
      };
    });
    const bytes = 8 << 20;
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(post(`400\r\n${'x'.repeat(1024)}\r\n`.repeat(bytes / 1024))),
    );
    await sleep(300);
    resume();
    socket.once('data', () => socket.end());
    expect(await text(socket)).toContain(String(bytes));
    expect(waiting).toBeLessThan(1 << 20);
  });
});

it('a header above its limit is refused', async () => {
  const port = await listening((_req, res) => res.end());
  expect(await raw(port, get('/', `X-A: ${'a'.repeat(130 * 1024)}\r\n`))).toMatch(/^HTTP\/1.1 431 /);
  expect(await raw(port, get(`/${'a'.repeat(130 * 1024)}`))).toMatch(/^HTTP\/1.1 431 /);
  expect(await raw(port, get('/', `Connection: close\r\nX-A: ${'a'.repeat(120 * 1024)}\r\n`))).toMatch(
    /^HTTP\/1.1 200 /,
  );
});
