import { once } from 'node:events';
import { Guest } from '../../../support/guest/guest';

describe('WSGI', () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await Guest.leaf(`
import json, sys

closed = 0

class Closing:
    def __init__(self, parts):
        self.parts = iter(parts)
    def __iter__(self):
        return self.parts
    def close(self):
        global closed
        closed += 1

def app(environ, start_response):
    kind = environ["PATH_INFO"]
    text = [("Content-Type", "text/plain")]
    if kind == "/environ":
        start_response("200 OK", text)
        return [json.dumps({k: v for k, v in environ.items() if isinstance(v, (str, bool, tuple))}).encode()]
    if kind == "/lines":
        start_response("200 OK", text)
        stream = environ["wsgi.input"]
        return [repr([stream.readline(), stream.read(2), *stream]).encode()]
    if kind == "/relay":
        start_response("200 OK", text)
        stream = environ["wsgi.input"]
        return iter(lambda: stream.read1(), b"")
    if kind == "/size":
        start_response("200 OK", text)
        total = 0
        while data := environ["wsgi.input"].read(1 << 16):
            total += len(data)
        import resource
        return [json.dumps([total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]).encode()]
    if kind == "/write":
        write = start_response("200 OK", text)
        write(b"a")
        write(b"b")
        return [b"c"]
    if kind == "/replace":
        start_response("200 OK", text)
        try:
            raise ValueError("x")
        except ValueError:
            start_response("418 I'm a teapot", [("X-Why", "x")], sys.exc_info())
        return [b"short"]
    if kind == "/endless":
        start_response("200 OK", text)
        return Closing(b"x" * 65536 for _ in range(10**9))
    where = environ["SCRIPT_NAME"] + " " + kind
    start_response("200 OK", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Path", where)])
    return Closing([str(closed).encode()])
`);
  });
  afterAll(() => guest.stop());

  test('gets the environment of PEP 3333', async () => {
    const reply = await guest.request({
      path: '/run/echo/environ?a=%20b',
      headers: { 'Content-Type': 'x/y', 'X-Two': ['1', '2'], Cookie: 'c=1' },
      body: 'abc',
    });
    expect(JSON.parse(reply.body)).toEqual({
      REQUEST_METHOD: 'POST',
      SCRIPT_NAME: '/run/echo',
      PATH_INFO: '/environ',
      QUERY_STRING: 'a=%20b',
      REQUEST_URI: '/run/echo/environ?a=%20b',
      SERVER_NAME: 'root',
      SERVER_PORT: '80',
      SERVER_PROTOCOL: 'HTTP/1.1',
      REMOTE_ADDR: '127.0.0.1',
      CONTENT_TYPE: 'x/y',
      CONTENT_LENGTH: '3',
      HTTP_HOST: 'root',
      HTTP_CONNECTION: 'keep-alive',
      HTTP_X_TWO: '1,2',
      HTTP_COOKIE: 'c=1',
      'wsgi.version': [1, 0],
      'wsgi.url_scheme': 'http',
      'wsgi.input_terminated': true,
      'wsgi.multithread': false,
      'wsgi.multiprocess': true,
      'wsgi.run_once': false,
    });
  });

  test('gets the path / for an empty path, and the name and port of Host', async () => {
    const told = async (path: string, host: string) => {
      const reply = await guest.request({ path, headers: { Host: host } });
      return JSON.parse(reply.body) as Record<string, string>;
    };
    for (const [host, name, port] of [
      ['example.com:8080', 'example.com', '8080'],
      ['[::1]:5000', '[::1]', '5000'],
      ['[::1]', '[::1]', '80'],
      ['a:b', 'a:b', '80'],
      ['a:', 'a', '80'],
      ['a:999999999', 'a:999999999', '80'],
    ] as const) {
      expect(await told('/run/echo/environ', host)).toMatchObject({ SERVER_NAME: name, SERVER_PORT: port });
    }
    // The application answers an unknown path with its counts.
    for (const path of ['/run/echo', '/run/echo/', '/run/echo?x']) {
      expect((await guest.request({ path })).headers['x-path']).toBe('/run/echo /');
    }
  });

  test('can read its input by lines, pieces and iteration', async () => {
    const body = ['ab\ncd', 'ef\ngh'];
    expect((await guest.request({ path: '/run/echo/lines', body })).body).toBe("[b'ab\\n', b'cd', b'ef\\n', b'gh']");
  });

  test('streams in both directions: each part is answered before the next is sent', async () => {
    const socket = (await guest.switch()).setEncoding('latin1');
    socket.write('POST /run/echo/relay HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
    let text = '';
    for (const part of ['one', 'two', 'three']) {
      socket.write(`${part.length.toString(16)}\r\n${part}\r\n`);
      while (!text.includes(part)) text += ((await once(socket, 'data')) as [string])[0];
    }
    socket.write('0\r\n\r\n');
    while (!text.endsWith('\r\n0\r\n\r\n')) text += ((await once(socket, 'data')) as [string])[0];
    socket.destroy();
  });

  test('reads a 100 MB body with constant memory', async () => {
    const small = JSON.parse((await guest.request({ path: '/run/echo/size', body: 'x' })).body) as number[];
    const body = Buffer.alloc(100 << 20);
    const big = JSON.parse((await guest.request({ path: '/run/echo/size', body })).body) as number[];
    expect(big[0]).toBe(100 << 20);
    expect((big[1] ?? 0) - (small[1] ?? 0)).toBeLessThan(2048);
  });

  test('can use write()', async () => {
    expect((await guest.request({ path: '/run/echo/write' })).body).toBe('abc');
  });

  test('can replace the head before the response starts', async () => {
    const reply = await guest.request({ path: '/run/echo/replace' });
    expect([reply.status, reply.headers['x-why'], reply.headers['content-length']]).toEqual([418, 'x', '5']);
  });

  test('keeps duplicate headers', async () => {
    expect((await guest.request({ path: '/run/echo/' })).headers['set-cookie']).toEqual(['a=1', 'b=2']);
  });

  test('survives a client that leaves during the response, and closes the iterable', async () => {
    const count = async () => Number((await guest.request({ path: '/run/echo/' })).body);
    const before = await count();
    const response = await guest.stream({ path: '/run/echo/endless' });
    await once(response, 'data');
    response.destroy();
    expect(await count()).toBe(before + 2);
  });

  test('survives a client that leaves during the request', async () => {
    const head = 'POST /run/echo/size HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n';
    expect(await guest.raw(`${head}abc`)).toBe('');
    expect((await guest.request({ path: '/run/echo/' })).status).toBe(200);
  });
});

describe('a WSGI application that fails ends the process', () => {
  test.each([
    ['by an exception', 'raise ValueError("boom")', /ValueError: boom/],
    ['without start_response', 'return [b"x"]', /AssertionError: .*start_response/],
    ['by starting twice', 's("200 OK", []); s("200 OK", [])', /AssertionError: start_response was called twice/],
    ['by a malformed status', 's("OK", []); return []', /ValueError: malformed status: 'OK'/],
    [
      'by splitting a header',
      's("200 OK", [("X", "a\\r\\nB: c")]); return []',
      /ValueError: malformed response header/,
    ],
    ['by text in its body', 's("200 OK", []); return ["x"]', /TypeError: the body .* must be bytes, not str/],
    ['by text behind bytes', 's("200 OK", []); return [b"x", "y"]', /TypeError: the body .* must be bytes, not str/],
    ['by text for a body', 's("200 OK", []); return "x"', /TypeError: the body .* must be bytes, not str/],
    ['by bytes for a body', 's("200 OK", []); return b"x"', /TypeError: the body .* must be bytes, not int/],
    ['by writing text', 's("200 OK", [])("x"); return []', /TypeError: the body .* must be bytes, not str/],
    ['by a number for a part', 's("200 OK", []); return iter([5])', /TypeError: the body .* must be bytes, not int/],
    ['by a number for a status', 's(200, []); return []', /TypeError: the status must be a str, not int/],
    ['by a number in a header', 's("200 OK", [("X", 1)]); return []', /TypeError: .* must be str, not int/],
    ['by an exit', 'raise SystemExit(0)', /SystemExit: 0/],
  ])('%s', async (_, code, message) => {
    const guest = await Guest.leaf(`def app(environ, s):\n    ${code}\n`);
    const reply = await guest.request();
    expect([reply.status, reply.headers['x-argyle-failure']]).toEqual([
      502,
      expect.stringMatching(/^"the application failed: /),
    ]);
    expect(reply.body).toMatch(message);
    expect(await guest.exited).toBe(1);
    expect(guest.stderr).toMatch(message);
    await guest.stop();
  });

  test('by text after the first part of its body, which is cut off', async () => {
    const guest = await Guest.leaf('def app(environ, s):\n    s("200 OK", []); yield b"x"; yield "y"\n');
    const response = await guest.stream();
    await expect(response.toArray()).rejects.toThrow(/aborted/);
    expect(await guest.exited).toBe(1);
    expect(guest.stderr).toMatch(/TypeError: the body of a response must be bytes, not str/);
    await guest.stop();
  });

  test('despite threads, after part of its response', async () => {
    const guest = await Guest.leaf(`
import threading, time

def app(environ, start_response):
    threading.Thread(target=time.sleep, args=(60,)).start()
    start_response("200 OK", [])
    yield b"part"
    raise ValueError("late")
`);
    const response = await guest.stream();
    await expect(response.toArray()).rejects.toThrow(/aborted/);
    expect(await guest.exited).toBe(1);
    await guest.stop();
  });
});
