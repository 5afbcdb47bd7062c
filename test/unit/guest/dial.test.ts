/** A guest without descriptors of its own, as in a container. It dials the worker instead of accepting connections. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bootFrame } from '../../../src/sandbox/boot';
import { until } from '../../support/until';

jest.setTimeout(60_000);

const MAIN = resolve(__dirname, '../../../sandbox-helper/guest/main.py');
const FUNCTION = 'def f(event):\n    return event\n';
const WSGI = 'def app(environ, start):\n    start("200 OK", [])\n    return [environ["wsgi.input"].read()]\n';
const ASGI = `
async def app(scope, receive, send):
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": body})
`;

describe('a guest that dials', () => {
  let root: string;
  let server: Server;
  let dialled: Socket[];
  let child: ChildProcess | undefined;
  let stderr: string;

  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'guest-dial-'));
    mkdirSync(join(root, 'handler'));
    dialled = [];
    stderr = '';
    server = createServer((socket) => {
      socket.on('error', () => undefined);
      dialled.push(socket);
    });
    await new Promise<void>((done) => server.listen(join(root, 'sock'), done));
  });
  afterEach(() => {
    child?.kill('SIGKILL');
    dialled.forEach((socket) => socket.destroy());
    server.close();
    rmSync(root, { recursive: true, force: true });
  });

  const start = (source: string, ...argv: string[]): Promise<number | null> => {
    writeFileSync(join(root, 'handler/f.py'), source);
    const env = { PATH: process.env['PATH'], ARGYLE_GUEST_ROOT: root };
    child = spawn('/usr/bin/python3', ['-I', '-S', '-B', MAIN, ...argv], { env, stdio: ['ignore', 'inherit', 'pipe'] });
    child.stderr?.on('data', (text: Buffer) => (stderr += text.toString()));
    return once(child, 'close').then(([code]) => code as number | null);
  };
  /** The guest's nth connection, counted from 0. */
  const call = async (number: number): Promise<Socket> => {
    await until('the guest dials', () => dialled.length > number);
    return dialled[number] as Socket;
  };
  const exchange = async (socket: Socket, body: string): Promise<string> => {
    const head = `POST /run/fn HTTP/1.1\r\nhost: root\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`;
    let text = '';
    const take = (chunk: Buffer): void => void (text += chunk.toString());
    socket.on('data', take);
    socket.write(head + body);
    await until(`an answer with ${body}`, () => text.includes(body));
    socket.off('data', take);
    return text;
  };
  const frame = bootFrame({
    role: 'leaf',
    name: 'fn',
    runtime: 'python',
    entry_file: 'f.py',
    sys_path: [],
    env: {},
  });

  it.each([
    ['a function', FUNCTION],
    ['WSGI', WSGI],
    ['ASGI', ASGI],
  ])('serves %s, dials again after each connection, and ends when no worker listens', async (_what, source) => {
    const exited = start(source, 'leaf', join(root, 'sock'));
    const first = await call(0);
    first.write(frame);
    expect(await exchange(first, '"one"')).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(await exchange(first, '"two"')).not.toContain('x-argyle-boot');
    first.destroy();
    const second = await call(1);
    expect(await exchange(second, '"three"')).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    server.close();
    second.destroy();
    expect(await exited).toBe(0);
    expect(stderr).toBe('');
  });

  it('ends at once without a listening worker', async () => {
    expect(await start(FUNCTION, 'leaf', join(root, 'none'))).toBe(0);
    expect(stderr).toBe('');
  });

  it('refuses further arguments', async () => {
    expect(await start(FUNCTION, 'leaf', join(root, 'sock'), 'x')).toBe(2);
    expect(stderr).toContain('ROLE must be leaf, zygote or installer');
  });
});
