import { once } from 'node:events';
import { Guest } from '../../../support/guest/guest';

describe('ASGI', () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await Guest.leaf(`
import asyncio, contextvars, json, sys

ticks = []
log = []
variable = contextvars.ContextVar("variable", default=0)

async def ticker():
    while True:
        ticks.append(1)
        await asyncio.sleep(0.001)

async def lifespan(scope, receive, send):
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["started"] = True
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    print("shutdown", flush=True)
    await send({"type": "lifespan.shutdown.complete"})

async def read(receive):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    kind = scope["path"].removeprefix(scope["root_path"])

    async def start(status=200, headers=()):
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(data, more=False):
        await send({"type": "http.response.body", "body": data, "more_body": more})

    if kind == "/scope" or (b"x-scope", b"1") in scope["headers"]:
        await start()
        await body(json.dumps(scope, default=lambda b: b.decode()).encode())
    elif kind == "/relay":
        await start()
        while True:
            message = await receive()
            await body(message["body"], True)
            if not message["more_body"]:
                break
        await body(b"")
    elif kind == "/early":
        raise ValueError("early")
    elif kind == "/started":
        await start()
        raise ValueError("started")
    elif kind == "/types":
        query = json.loads(scope["query_string"].replace(b"'", b'"'))
        await start(query.get("status", 200), query.get("headers", []))
        await body(query.get("body", b"x"))
    elif kind == "/late-text":
        await start()
        await body(b"part", True)
        await body("text")
    elif kind == "/late":
        await start()
        await body(b"part", True)
        raise ValueError("late")
    elif kind == "/after":
        await start()
        await body(b"whole")
        raise ValueError("after")
    elif kind == "/nothing":
        pass
    elif kind == "/tick":
        log.append(asyncio.get_running_loop().create_task(ticker()))
        await start()
        await body(b"ok")
    elif kind == "/ticks":
        await start()
        await body(str(len(ticks)).encode())
    elif kind == "/events":
        await start(200, [(b"content-type", b"text/event-stream")])
        for i in range(3):
            await body(b"data: %d\\n\\n" % i, True)
            await asyncio.sleep(0)
        await body(b"")
    elif kind == "/wait":
        await start()
        await body(b"first", True)
        await read(receive)
        log.append((await receive())["type"])
    elif kind == "/endless":
        await start()
        try:
            while True:
                await body(b"x" * 65536, True)
        except OSError as error:
            log.append("OSError")
            raise
    elif kind == "/log":
        await start()
        await body(json.dumps([x for x in log if isinstance(x, str)]).encode())
    elif kind == "/variable":
        variable.set(variable.get() + 1)
        await start()
        await body(str(variable.get()).encode())
    elif kind == "/unread":
        await start(204)
        await body(b"")
    else:
        data = await read(receive)
        await start(201, [(b"x-two", b"1"), (b"x-two", b"2")])
        await body(data)
`);
  });
  afterAll(() => guest.stop());
  const get = (kind: string) => guest.request({ method: 'GET', path: `/run/echo${kind}` });

  test('gets a scope of version 3', async () => {
    const reply = await guest.request({ method: 'GET', path: '/run/echo/scope?x=%20', headers: { 'X-A': ['1', '2'] } });
    expect(JSON.parse(reply.body)).toEqual({
      type: 'http',
      asgi: { version: '3.0', spec_version: '2.4' },
      http_version: '1.1',
      method: 'GET',
      scheme: 'http',
      path: '/run/echo/scope',
      raw_path: '/run/echo/scope',
      query_string: 'x=%20',
      root_path: '/run/echo',
      headers: [
        ['x-a', '1'],
        ['x-a', '2'],
        ['host', 'root'],
        ['connection', 'keep-alive'],
      ],
      client: null,
      server: ['root', 80],
      state: { started: true },
      extensions: {},
    });
  });

  test('gets the path / after root_path for an empty path', async () => {
    for (const path of ['/run/echo', '/run/echo/', '/run/echo?x=1']) {
      const reply = await guest.request({ method: 'GET', path, headers: { 'X-Scope': '1' } });
      expect(JSON.parse(reply.body)).toMatchObject({ path: '/run/echo/', root_path: '/run/echo' });
    }
  });

  test('gets the name and port of Host', async () => {
    for (const [Host, server] of [
      ['[::1]:5000', ['[::1]', 5000]],
      ['a:99999999', ['a:99999999', 80]],
    ] as const) {
      const reply = await guest.request({ method: 'GET', path: '/run/echo/scope', headers: { Host } });
      expect(JSON.parse(reply.body)).toMatchObject({ server });
    }
  });

  test('decodes the path as UTF-8', async () => {
    expect(JSON.parse((await get('/scope?')).body)).toMatchObject({ path: '/run/echo/scope' });
    expect((await guest.request({ path: '/run/echo/%E2%82%AC', body: 'abc' })).body).toBe('abc');
  });

  test('sends a length for a complete body, and keeps duplicate headers', async () => {
    const reply = await guest.request({ body: ['ab', 'cd'] });
    expect([reply.status, reply.body, reply.headers['content-length']]).toEqual([201, 'abcd', '4']);
    expect(reply.headers['x-two']).toBe('1, 2');
  });

  test('accepts and sends large bodies', async () => {
    const body = 'x'.repeat(5 << 20);
    expect((await guest.request({ body })).body === body).toBe(true);
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

  test('sends one chunk for each event', async () => {
    const text = await guest.raw('GET /run/echo/events HTTP/1.1\r\nHost: x\r\n\r\n');
    const chunk = (i: number) => `9\r\ndata: ${i}\n\n\r\n`;
    expect(text.slice(text.indexOf('\r\n\r\n') + 4)).toBe(`${chunk(0)}${chunk(1)}${chunk(2)}0\r\n\r\n`);
  });

  test.each([
    ['/early', /^Traceback [^]*ValueError: early\n$/],
    ['/started', /ValueError: started\n$/],
    ['/nothing', /RuntimeError: the ASGI application ended without completing its response\n$/],
  ])('%s: status 500 and the traceback before the response starts', async (kind, message) => {
    const reply = await get(kind);
    expect([reply.status, reply.headers['content-type']]).toEqual([500, 'text/plain']);
    expect(reply.body).toMatch(message);
    expect((await get('/ticks')).status).toBe(200);
  });

  test.each([
    ["{'body':'x'}", /TypeError: the body of a response must be bytes, not str\n$/],
    ["{'body':5}", /TypeError: the body of a response must be bytes, not int\n$/],
    ["{'status':'200'}", /TypeError: /],
    ["{'headers':[['a','b']]}", /TypeError: the names and values of headers must be bytes, not str\n$/],
    ["{'headers':[[1,2]]}", /TypeError: the names and values of headers must be bytes, not int\n$/],
  ])('%s, which has a wrong type: status 500 and the traceback', async (types, message) => {
    const reply = await get(`/types?${types}`);
    expect([reply.status, reply.body]).toEqual([500, expect.stringMatching(message)]);
    expect((await get('/ticks')).status).toBe(200);
  });

  test('text after the first part of a body aborts the response', async () => {
    await expect(get('/late-text')).rejects.toThrow(/aborted/);
    expect(guest.stderr).toMatch(/TypeError: the body of a response must be bytes, not str/);
    expect((await get('/ticks')).status).toBe(200);
  });

  test('a failure within the response aborts it, and the next request is served', async () => {
    await expect(get('/late')).rejects.toThrow(/aborted/);
    expect(guest.stderr).toMatch(/ValueError: late/);
    expect((await get('/after')).body).toBe('whole');
    expect((await get('/ticks')).status).toBe(200);
  });

  test('receive and send report a disconnect', async () => {
    for (const kind of ['/wait', '/endless']) {
      const response = await guest.stream({ method: 'GET', path: `/run/echo${kind}` });
      await once(response, 'data');
      response.destroy();
    }
    expect(JSON.parse((await get('/log')).body)).toEqual(['http.disconnect', 'OSError']);
  });

  test('unread bodies and context variables do not reach the next request', async () => {
    expect((await guest.request({ path: '/run/echo/unread', body: 'x'.repeat(1 << 20) })).status).toBe(204);
    expect((await get('/variable')).body).toBe('1');
    expect((await get('/variable')).body).toBe('1');
  });

  test('background tasks continue between requests', async () => {
    await get('/tick');
    const before = Number((await get('/ticks')).body);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(Number((await get('/ticks')).body)).toBeGreaterThan(before + 5);
  });

  test('a malformed request is refused', async () => {
    expect(await guest.raw('GET\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /);
    const chunked = 'POST /run/echo/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n';
    expect(await guest.raw(chunked)).toMatch(/^HTTP\/1.1 400 [^]*bad size line/);
  });

  test('SIGTERM runs the lifespan shutdown and ends the process', async () => {
    guest.order('term');
    expect(await guest.exited).toBe(0);
    expect(guest.stdout).toMatch(/shutdown\n/);
  });
});

test('an ASGI application without lifespan is served', async () => {
  const guest = await Guest.leaf(`
class App:
    async def __call__(self, scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"ok"})

app = App()
`);
  expect((await guest.request()).body).toBe('ok');
  await guest.stop();
});

test('an ASGI application that refuses to start ends the process with its message', async () => {
  const guest = await Guest.leaf(`
async def app(scope, receive, send):
    await send({"type": "lifespan.startup.failed", "message": "no database"})
`);
  const reply = await guest.request();
  expect([reply.status, reply.headers['x-argyle-failure']]).toEqual([
    502,
    '"ASGI lifespan startup failed: StartupFailed: no database"',
  ]);
  expect(await guest.exited).toBe(1);
  expect(guest.stderr).toMatch(/startup failed: no database/);
  await guest.stop();
});
