import { Guest } from '../../../support/guest/guest';

describe('f(event)', () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await Guest.leaf(`
import asyncio

seen = 0

async def later(event):
    await asyncio.sleep(0)
    return ["later", event]

def f(event):
    global seen
    seen += 1
    kind = event.get("kind") if isinstance(event, dict) else None
    if kind == "async":
        return later(event)
    if kind == "fail":
        raise ValueError("broken \\u20ac")
    if kind == "object":
        return {"x": object()}
    if kind == "seen":
        return seen
    return event
`);
  });
  afterAll(() => guest.stop());

  const echoed: [string, string, unknown][] = [
    ['an object', '{"a": [1, -2.5e3, true, null, "\\u20ac\\n"]}', { a: [1, -2500, true, null, '€\n'] }],
    ['space around the value', ' \r\n\t[1] \n', [1]],
    ['a string', '"x"', 'x'],
    ['a number', '12', 12],
    ['UTF-8', '"€😀"', '€😀'],
    ['a byte order mark in UTF-16', Buffer.from('\ufeff[1]', 'utf16le').toString('latin1'), [1]],
    ['no body', '', {}],
  ];
  test.each(echoed)('gets %s', async (_, body, expected) => {
    const reply = await guest.request({ body: body.startsWith('ÿþ') ? Buffer.from(body, 'latin1') : body });
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toBe('application/json');
    expect(JSON.parse(reply.body)).toEqual(expected);
  });

  test('returns what json.dumps writes', async () => {
    expect((await guest.request({ body: '{"b":1,"a":["\u20ac",{}]}' })).body).toBe('{"b": 1, "a": ["\\u20ac", {}]}');
    expect((await guest.request({ body: '[NaN, Infinity]' })).body).toBe('[NaN, Infinity]');
  });

  test('may be async', async () => {
    const body = '{"kind": "async"}';
    expect(JSON.parse((await guest.request({ body })).body)).toEqual(['later', { kind: 'async' }]);
    expect(JSON.parse((await guest.request({ body })).body)).toEqual(['later', { kind: 'async' }]);
  });

  test('accepts any method; HEAD gets only the head', async () => {
    expect((await guest.request({ method: 'GET' })).body).toBe('{}');
    const reply = await guest.request({ method: 'HEAD' });
    expect([reply.status, reply.headers['content-length'], reply.body]).toEqual([200, '2', '']);
  });

  test('reads chunked bodies', async () => {
    expect((await guest.request({ body: ['{"a"', ': 1}'] })).body).toBe('{"a": 1}');
  });

  test.each([
    ['an exception', '{"kind": "fail"}', /^Traceback [^]*f\.py", line \d+, in f\n[^]*ValueError: broken €\n$/],
    ['a result that is not JSON', '{"kind": "object"}', /TypeError: Object of type object is not JSON serializable\n$/],
    ['a body that is not JSON', '{"a": }', /JSONDecodeError: Expecting value: line 1 column 7 \(char 6\)\n$/],
    ['a missing colon', '{"a" 1}', /JSONDecodeError: Expecting ':' delimiter: line 1 column 6 \(char 5\)\n$/],
    ['more than one value', '1 2', /JSONDecodeError: Extra data: line 1 column 3 \(char 2\)\n$/],
    ['bytes in no encoding', Buffer.from([0x22, 0xff, 0x22]), /UnicodeDecodeError/],
  ])('answers %s with status 500 and the traceback, and continues', async (_, body, message) => {
    const reply = await guest.request({ body });
    expect([reply.status, reply.headers['content-type']]).toEqual([500, 'text/plain']);
    expect(reply.body).toMatch(message);
    expect((await guest.request({ body: '1' })).body).toBe('1');
  });

  test('keeps its state between calls', async () => {
    const first = Number((await guest.request({ body: '{"kind": "seen"}' })).body);
    expect((await guest.request({ body: '{"kind": "seen"}' })).body).toBe(String(first + 1));
  });

  test('serves a later connection, without a boot frame', async () => {
    expect(await guest.raw('POST /run/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n5')).toMatch(/\r\n\r\n5$/);
    expect((await guest.request({ body: '6' })).body).toBe('6');
  });
});

test('a handler that exits ends the process, and its request gets the reason', async () => {
  const guest = await Guest.leaf('import sys\ndef f(event):\n    print("bye", end="")\n    sys.exit(3)\n');
  const reply = await guest.request();
  expect(reply.status).toBe(502);
  expect(reply.headers['x-argyle-failure']).toBe('"the function ended its process: SystemExit: 3"');
  expect(reply.body).toMatch(/f\.py", line 4, in f\n[^]*SystemExit: 3\n$/);
  expect(await guest.exited).toBe(3);
  expect(guest.stderr).toBe(reply.body);
  expect(guest.stdout).toBe('bye');
  await guest.stop();
});

test('the log contains exceptions, and the answer contains them unless hide_errors is set', async () => {
  const source = 'def f(event):\n    raise ValueError("secret")\n';
  for (const hide of [false, true]) {
    const guest = await Guest.leaf(source, { hide_errors: hide });
    const reply = await guest.request();
    expect(reply.status).toBe(500);
    if (hide) expect(reply.body).toMatch(/^the function failed; its log has the exception/);
    else expect(reply.body).toMatch(/ValueError: secret\n$/);
    await guest.stop();
    expect(guest.stderr).toMatch(/^Traceback [^]*ValueError: secret\n$/);
  }
});

describe('f(event, context)', () => {
  const SHOW = '[context.function_name, context.memory_limit_mb, context.request_id]';

  test('has request id, function name, headers, memory limit and remaining time', async () => {
    const guest = await Guest.leaf(
      `def f(event, context):
    return [context.request_id, context.function_name, context.headers["x-a"], context.memory_limit_mb,
            context.remaining_ms()]
`,
      { limits: { mem_mb: 50, runtime_sec: 7 } },
    );
    const headers = { 'X-Request-Id': 'abc', 'x-a': ['1', '2'] };
    const [id, name, a, memory, left] = JSON.parse((await guest.request({ headers })).body) as [string, ...unknown[]];
    expect([id, name, a, memory]).toEqual(['abc', 'echo', '1, 2', 50]);
    expect(left).toBeLessThanOrEqual(7000);
    expect(left).toBeGreaterThan(4000);
    const [other] = JSON.parse((await guest.request({ headers: { 'x-a': '' } })).body) as string[];
    expect(other).toMatch(/^[0-9a-f]{32}$/);
    await guest.stop();
  });

  test('has None for missing limits', async () => {
    const source = 'def f(event, context):\n    return [context.memory_limit_mb, context.remaining_ms()]\n';
    const guest = await Guest.leaf(source, { limits: { mem_mb: 0, runtime_sec: 0 } });
    expect((await guest.request()).body).toBe('[null, null]');
    await guest.stop();
  });

  const given: [string, string, boolean][] = [
    ['two parameters', 'def f(a, b):', true],
    ['two positional-only ones', 'def f(a, b, /):', true],
    ['one called context, with a default', 'def f(event, context=None):', true],
    ['an async one', 'async def f(event, context):', true],
    ['one', 'def f(a):', false],
    ['a second one with a default', 'def f(a, b=None):', false],
    ['any number', 'def f(*a):', false],
    ['keywords', 'def f(a, *, b=None, **c):', false],
  ];
  test.each(given)('is passed to a function of %s: %s %s', async (_, head, context) => {
    const count = head.includes('*a') ? 'len(a) == 2' : context ? 'True' : 'False';
    const check = head.includes('b=None') && !head.includes('*') ? 'b is not None' : count;
    const guest = await Guest.leaf(`${head}\n    return ${check}\n`);
    expect((await guest.request()).body).toBe(String(context));
    await guest.stop();
  });

  test.each([
    ['a method', `class C:\n    def m(self, event, context):\n        return ${SHOW}\nf = C().m\n`],
    ['an object', `class C:\n    def __call__(self, event, context):\n        return ${SHOW}\nf = C()\n`],
    [
      'a wrapped function',
      `import functools\ndef w(g):\n    @functools.wraps(g)\n    def h(*a, **k):\n        return g(*a, **k)\n    return h\n` +
        `@w\ndef f(event, context):\n    return ${SHOW}\n`,
    ],
  ])('is passed to %s', async (_, source) => {
    const guest = await Guest.leaf(source, { limits: { mem_mb: 50, runtime_sec: 1 } });
    expect(JSON.parse((await guest.request({ headers: { 'x-request-id': 'r' } })).body)).toEqual(['echo', 50, 'r']);
    await guest.stop();
  });
});

describe('a process that the handler forked and that returns from the handler', () => {
  const FORK = 'import os\npids = []\n\ndef child():\n    pid = os.fork()\n    pids.append(pid)\n    return pid == 0\n';
  test.each([
    ['a result', `${FORK}def f(event):\n    return "child" if child() else "parent"\n`, '"parent"'],
    [
      'an exception',
      `${FORK}def f(event):\n    if child():\n        raise ValueError("child")\n    os.waitpid(pids[-1], 0)\n    return 1\n`,
      '1',
    ],
    [
      'a WSGI answer',
      `${FORK}def app(environ, start):\n    text = b"child" if child() else b"parent"\n    start("200 OK", [])\n    return [text]\n`,
      'parent',
    ],
    [
      'an ASGI answer',
      `${FORK}async def app(scope, receive, send):\n    if scope["type"] != "http":\n        raise ValueError\n` +
        `    text = b"child" if child() else b"parent"\n` +
        `    await send({"type": "http.response.start", "status": 200})\n` +
        `    await send({"type": "http.response.body", "body": text})\n`,
      'parent',
    ],
  ])('does not answer for its parent: %s', async (_, source, expected) => {
    const guest = await Guest.leaf(source);
    for (let round = 0; round < 3; round++) expect((await guest.request()).body).toBe(expected);
    await guest.stop();
    expect(guest.stderr.match(/a process that the handler forked came back from it/g)).toHaveLength(3);
  });
});
