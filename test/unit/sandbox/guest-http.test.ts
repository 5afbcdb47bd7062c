import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BootInfo } from '../../../src/sandbox/answer/boot-report';
import { GuestHttp } from '../../../src/sandbox/guest-http';
import { bootFrame } from '../../../src/sandbox/boot';
import { headersOf } from '../../support/real-sandboxes';
import { until } from '../../support/until';

const FRAME = bootFrame({
  role: 'leaf',
  name: 'fn',
  runtime: 'python',
  entry_file: 'f.py',
  sys_path: ['/packages/ä/files'],
  env: {},
});

describe('GuestHttp', () => {
  const dir = mkdtempSync(join(tmpdir(), 'guest-http-'));
  const path = join(dir, 's');
  let server: Server;
  let received: string[];
  let respond: (socket: Socket, text: string) => void;
  const reports: BootInfo[] = [];
  const faults: string[] = [];

  beforeEach(async () => {
    received = [];
    reports.length = 0;
    faults.length = 0;
    server = createServer((socket) => {
      const index = received.push('') - 1;
      socket.on('data', (chunk) => {
        received[index] = (received[index] ?? '') + chunk.toString();
        if (chunk.includes('HTTP/1.1')) respond(socket, received[index] ?? '');
      });
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
  });
  afterEach(async () => {
    await new Promise((resolve) => server.close(resolve));
  });
  afterAll(() => {
    rmSync(dir, { recursive: true });
  });

  const booted = (dial: () => Socket | Promise<Socket>): GuestHttp => {
    const http = new GuestHttp(dial);
    http.boot(FRAME, { onBoot: (info) => reports.push(info), onFault: (error) => faults.push(error.message) });
    return http;
  };
  const open = (): GuestHttp => booted(() => connect(path));
  const get = (
    http: GuestHttp,
    method: 'GET' | 'HEAD' = 'GET',
  ): Promise<{ headers: Record<string, unknown>; raw: string[]; body: string }> =>
    new Promise((resolve, reject) => {
      let raw: string[] = [];
      let headers: Record<string, unknown> = {};
      let body = '';
      http.dispatch(
        { path: '/run/fn', method },
        {
          onStart: () => undefined,
          onHead: (head) => {
            raw = head.headers;
            headers = headersOf(head);
          },
          onData: (chunk) => {
            body += chunk.toString();
          },
          onEnd: () => {
            resolve({ headers, raw, body });
          },
          onError: reject,
        },
      );
    });
  const answer = (extra = ''): string => `HTTP/1.1 200 OK\r\n${extra}content-length: 2\r\n\r\nok`;

  it('writes the boot frame at once, on the first connection only, and removes the report', async () => {
    const report = 'X-Argyle-Boot: {"import_ms":1.5,"modules":["numpy"]}\r\nset-cookie: a\r\nset-cookie: b\r\n';
    respond = (socket) => socket.write(answer(report));
    const http = open();
    await until('the boot frame', () => received.join('').length >= FRAME.toString().length);
    expect(received).toEqual([FRAME.toString()]);
    expect(FRAME.toString()).toMatch(/^ARGYLE-BOOT\/1 (\d+)\n\{"role":"leaf"/);
    const { headers, raw } = await get(http);
    expect(headers).toEqual({ 'set-cookie': ['a', 'b'], 'content-length': '2' });
    expect(raw).toEqual(['set-cookie', 'a', 'set-cookie', 'b', 'content-length', '2']);
    expect(reports).toEqual([{ importMs: 1.5, modules: ['numpy'] }]);
    respond = (socket) => {
      socket.end(answer('connection: close\r\n'));
    };
    await get(http);
    respond = (socket) => socket.write(answer());
    await get(http);
    expect(received).toHaveLength(2);
    expect(received[1]).toMatch(/^GET \/run\/fn HTTP\/1.1\r\nhost: root\r\n/i);
    http.destroy(new Error('done'));
  });

  it.each(['204 No Content', '304 Not Modified'])(
    'ends a %s with its head, whatever length it declares',
    async (status) => {
      respond = (socket) => socket.write(`HTTP/1.1 ${status}\r\ncontent-length: 20\r\nx-a: 1\r\n\r\n`);
      const http = open();
      for (let i = 0; i < 3; i++)
        expect(await get(http)).toEqual({ headers: { 'x-a': '1' }, raw: ['x-a', '1'], body: '' });
      respond = (socket) => socket.write(answer());
      expect((await get(http)).body).toBe('ok');
      expect(faults).toEqual([]);
      http.destroy(new Error('done'));
    },
  );

  it.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n'],
    ['GET', 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'],
  ] as const)('does not read bytes after an answer to %s that ends its connection', async (method, text) => {
    respond = (socket) => socket.write(`${text}okHTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n`);
    const http = open();
    for (let i = 0; i < 3; i++) expect((await get(http, method)).body).toBe('');
    respond = (socket) => socket.write(answer());
    expect((await get(http)).body).toBe('ok');
    expect([faults, received.length]).toEqual([[], 4]);
    http.destroy(new Error('done'));
  });

  it('made ahead connects and sends nothing, and then writes frame and request in one turn', async () => {
    respond = (socket) => socket.write(answer());
    const http = new GuestHttp(() => connect(path));
    await until('the connection', () => received.length === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(received).toEqual(['']);
    expect(http.isIdle).toBe(true);
    http.boot(FRAME);
    await get(http);
    expect(received).toHaveLength(1);
    expect(received[0]?.startsWith(`${FRAME.toString()}GET /run/fn HTTP/1.1\r\n`)).toBe(true);
    http.destroy(new Error('done'));
  });

  it('boots on a new connection when the one made ahead has ended, and on no other', async () => {
    respond = (socket) => socket.write(answer());
    const ends: Socket[] = [];
    server.on('connection', (socket) => ends.push(socket));
    let dialled = 0;
    const http = new GuestHttp(() => {
      dialled++;
      // Like a socket that is read, it closes after the other end.
      return connect(path).resume();
    });
    await until('the connection', () => ends.length === 1);
    ends[0]?.destroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    http.boot(FRAME);
    await get(http);
    expect(dialled).toBe(2);
    expect(received[0]).toBe('');
    expect(received[1]?.startsWith(`${FRAME.toString()}GET `)).toBe(true);
    http.destroy(new Error('done'));
  });

  it('closes its connection when it is destroyed unused', async () => {
    let closed = 0;
    server.on('connection', (socket) => socket.on('close', () => closed++));
    const http = new GuestHttp(() => connect(path));
    await until('the connection', () => received.length === 1);
    http.destroy(new Error('not wanted'));
    await until('it is closed', () => closed === 1);
  });

  it('passes on submodules by spec, and drops values that are not strings', async () => {
    const report =
      '{"import_ms":1,"modules":[3,"a"],"submodules":{"b==1":["b.c",4,null],"d==1":"d.e","__proto__":["x.y"]}}';
    respond = (socket) => socket.write(answer(`x-argyle-boot: ${report}\r\n`));
    const http = open();
    await get(http);
    const [info] = reports as { submodules: Record<string, string[]>; modules: string[] }[];
    expect(info?.modules).toEqual(['a']);
    expect(Object.entries(info?.submodules ?? {})).toEqual([
      ['b==1', ['b.c']],
      ['d==1', []],
      ['__proto__', ['x.y']],
    ]);
    http.destroy(new Error('done'));
  });

  it.each(['nonsense', '{"import_ms":"x"}', '{"import_ms":-1}', '[]', 'null'])(
    'ignores the report %s',
    async (report) => {
      respond = (socket) => socket.write(answer(`x-argyle-boot: ${report}\r\n`));
      const http = open();
      expect((await get(http)).headers['x-argyle-boot']).toBeUndefined();
      expect(reports).toEqual([]);
      http.destroy(new Error('done'));
    },
  );

  it('accepts promised connections: the first for the frame, later ones after the guest closes', async () => {
    const asked: ((socket: Socket) => void)[] = [];
    respond = (socket) => socket.end(answer('connection: close\r\n'));
    const http = booted(() => new Promise((resolve) => asked.push(resolve)));
    const first = get(http);
    asked[0]?.(connect(path));
    await first;
    const second = get(http);
    await until('it asks for another connection', () => asked.length === 2);
    asked[1]?.(connect(path));
    await second;
    expect(received[0]).toMatch(/^ARGYLE-BOOT/);
    expect(received[0]).toContain('GET /run/fn');
    expect(received[1]).toMatch(/^GET \/run\/fn/);
    http.destroy(new Error('done'));
  });

  it('fails requests without a connection', async () => {
    const http = booted(() => Promise.reject(new Error('the guest is gone')));
    await expect(get(http)).rejects.toThrow('the guest is gone');
    const waiting = booted(() => new Promise(() => undefined));
    const pending = get(waiting);
    waiting.destroy(new Error('killed'));
    await expect(pending).rejects.toThrow('killed');
  });

  it('fails requests when the guest ends and at destroy()', async () => {
    respond = (socket) => {
      socket.destroy();
    };
    const http = open();
    await expect(get(http)).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' });
    respond = () => undefined;
    const pending = get(http);
    const why = new Error('killed');
    setTimeout(() => {
      http.destroy(why);
    }, 10);
    await expect(pending).rejects.toBe(why);
  });
});
