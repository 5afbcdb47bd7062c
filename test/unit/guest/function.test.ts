import { Guest } from '../../support/guest/guest';

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

  test('is called by any method; HEAD gets the head only', async () => {
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
  ])('answers %s with status 500 and the traceback, and lives on', async (_, body, message) => {
    const reply = await guest.request({ body });
    expect([reply.status, reply.headers['content-type']]).toEqual([500, 'text/plain']);
    expect(reply.body).toMatch(message);
    expect((await guest.request({ body: '1' })).body).toBe('1');
  });

  test('keeps its state from call to call', async () => {
    const first = Number((await guest.request({ body: '{"kind": "seen"}' })).body);
    expect((await guest.request({ body: '{"kind": "seen"}' })).body).toBe(String(first + 1));
  });

  test('serves a later connection, without a boot frame', async () => {
    expect(await guest.raw('POST /run/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n5')).toMatch(/\r\n\r\n5$/);
    expect((await guest.request({ body: '6' })).body).toBe('6');
  });
});

test('a handler that exits ends the process without an answer', async () => {
  const guest = await Guest.leaf('import sys\ndef f(event):\n    print("bye", end="")\n    sys.exit(3)\n');
  await expect(guest.request()).rejects.toThrow(/socket hang up|ECONNRESET/);
  expect(await guest.exited).toBe(3);
  expect(guest.stdout).toBe('bye');
  await guest.stop();
});
