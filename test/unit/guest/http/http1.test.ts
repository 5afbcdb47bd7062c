import { Guest } from '../../../support/guest/guest';

const APP = `
import json

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    text = json.dumps([environ["REQUEST_METHOD"], environ["PATH_INFO"], body.decode("latin-1")]).encode()
    start_response("200 OK", [("content-length", str(len(text)))])
    return [text]
`;

/** The bodies of all responses in `text`, which must each carry a Content-Length. */
function bodies(text: string): string[] {
  const found: string[] = [];
  for (let rest = text; rest;) {
    const end = rest.indexOf('\r\n\r\n') + 4;
    const length = Number(/content-length: (\d+)/i.exec(rest.slice(0, end))?.[1]);
    if (end < 4 || Number.isNaN(length)) throw new Error(`no response with Content-Length: ${rest}`);
    found.push(rest.slice(end, end + length));
    rest = rest.slice(end + length);
  }
  return found;
}

describe('HTTP/1.1 parser', () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await Guest.leaf(APP);
    await guest.request();
  });
  afterAll(() => guest.stop());

  const host = 'Host: root\r\n';
  const chunked = `POST /run/echo/a HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`;

  const answered: [string, string, unknown[]][] = [
    ['a request without body', `GET /run/echo/a?b HTTP/1.1\r\n${host}\r\n`, ['GET', '/a', '']],
    ['an empty line before the request', `\r\nGET /run/echo/ HTTP/1.1\r\n${host}\r\n`, ['GET', '/', '']],
    ['an unknown method', `BREW /run/echo HTTP/1.1\r\n${host}\r\n`, ['BREW', '/', '']],
    ['OPTIONS *', `OPTIONS * HTTP/1.1\r\n${host}\r\n`, ['OPTIONS', '*', '']],
    ['HTTP/1.0 without host', 'GET /run/echo/a HTTP/1.0\r\n\r\n', ['GET', '/a', '']],
    ['a path outside /run', `GET /a%20b HTTP/1.1\r\n${host}\r\n`, ['GET', '/a b', '']],
    ['an escaped name', `GET /run/%65cho/x HTTP/1.1\r\n${host}\r\n`, ['GET', '/x', '']],
    ['malformed escapes, kept', `GET /run/echo/%zz%+1%4 HTTP/1.1\r\n${host}\r\n`, ['GET', '/%zz%+1%4', '']],
    ['Content-Length', `POST /run/echo/a HTTP/1.1\r\n${host}Content-Length: 3\r\n\r\nabc`, ['POST', '/a', 'abc']],
    [
      'Content-Length twice, the same',
      `POST /run/echo/a HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 1\r\n\r\na`,
      ['POST', '/a', 'a'],
    ],
    ['chunks', `${chunked}3\r\nabc\r\nA;ext=1\r\n0123456789\r\n0\r\n\r\n`, ['POST', '/a', 'abc0123456789']],
    ['chunks and trailers', `${chunked}1\r\na\r\n0\r\nX: y\r\nZ: w\r\n\r\n`, ['POST', '/a', 'a']],
    ['no chunk', `${chunked}0\r\n\r\n`, ['POST', '/a', '']],
    ['a long header', `GET /run/echo/ HTTP/1.1\r\n${host}X: ${'x'.repeat(60_000)}\r\n\r\n`, ['GET', '/', '']],
  ];
  test.each(answered)('serves %s', async (_, bytes, expected) => {
    expect(bodies(await guest.raw(bytes)).map((body) => JSON.parse(body) as unknown)).toEqual([expected]);
  });

  const refused: [string, string, number, RegExp][] = [
    ['garbage', 'garbage\r\n\r\n', 400, /malformed request line/],
    ['a space too many', `GET  / HTTP/1.1\r\n${host}\r\n`, 400, /malformed request line/],
    ['a method with a separator', `G(T / HTTP/1.1\r\n${host}\r\n`, 400, /malformed request line/],
    ['HTTP/2', `GET / HTTP/2.0\r\n${host}\r\n`, 505, /unsupported version/],
    ['no version', `GET / FTP/1\r\n${host}\r\n`, 400, /unsupported version/],
    ['an absolute target', `GET http://x/ HTTP/1.1\r\n${host}\r\n`, 400, /malformed request target/],
    ['* with GET', `GET * HTTP/1.1\r\n${host}\r\n`, 400, /malformed request target/],
    ['a control character in the target', `GET /\x01 HTTP/1.1\r\n${host}\r\n`, 400, /malformed request target/],
    ['a header without colon', `GET / HTTP/1.1\r\n${host}oops\r\n\r\n`, 400, /malformed header/],
    ['a space before the colon', `GET / HTTP/1.1\r\n${host}X : y\r\n\r\n`, 400, /malformed header/],
    ['a folded header', `GET / HTTP/1.1\r\n${host}X: y\r\n z\r\n\r\n`, 400, /malformed header/],
    ['a bare line feed in a header', `GET / HTTP/1.1\r\n${host}X: y\nZ: w\r\n\r\n`, 400, /control character/],
    ['a NUL in a header', `GET / HTTP/1.1\r\n${host}X: \0\r\n\r\n`, 400, /control character/],
    ['no host', 'GET / HTTP/1.1\r\n\r\n', 400, /expected one host header, got 0/],
    ['two hosts', `GET / HTTP/1.1\r\n${host}${host}\r\n`, 400, /expected one host header, got 2/],
    ['a negative length', `POST / HTTP/1.1\r\n${host}Content-Length: -1\r\n\r\n`, 400, /bad content-length/],
    ['two lengths', `POST / HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, 400, /content-length/],
    [
      'a length and chunks',
      `POST / HTTP/1.1\r\n${host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
      400,
      /transfer-encoding with content-length/,
    ],
    ['gzip as transfer', `POST / HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n`, 501, /unsupported/],
    ['a huge head', `GET / HTTP/1.1\r\n${host}X: ${'x'.repeat(70_000)}\r\n\r\n`, 431, /longer than 65536/],
    ['a huge head without end', 'x'.repeat(70_000), 431, /longer than 65536/],
    ['a bad chunk size', `${chunked}xyz\r\n`, 400, /bad size line/],
    ['a signed chunk size', `${chunked}+1\r\na\r\n0\r\n\r\n`, 400, /bad size line/],
    ['a chunk longer than its size', `${chunked}1\r\nabc\r\n0\r\n\r\n`, 400, /longer than its size/],
    ['an endless chunk line', `${chunked}1;${'x'.repeat(5000)}`, 400, /line too long/],
  ];
  test.each(refused)('refuses %s', async (_, bytes, status, message) => {
    const text = await guest.raw(bytes);
    expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(text).toMatch(/connection: close/);
    expect(bodies(text)).toEqual([expect.stringMatching(message)]);
  });

  test.each([
    ['in the head', 'GET / HT'],
    ['in a body', `POST / HTTP/1.1\r\n${host}Content-Length: 10\r\n\r\nabc`],
    ['in a chunk', `${chunked}5\r\nab`],
  ])('closes without an answer when the client ends %s, and serves the next connection', async (_, bytes) => {
    expect(await guest.raw(bytes)).toBe('');
    expect((await guest.request({ method: 'GET' })).status).toBe(200);
  });

  test('serves pipelined requests in order', async () => {
    const text = await guest.raw(
      `POST /run/echo/1 HTTP/1.1\r\n${host}Content-Length: 1\r\n\r\na` +
        `${chunked.replace('/a', '/2')}1\r\nb\r\n0\r\n\r\nGET /run/echo/3 HTTP/1.1\r\n${host}\r\n`,
    );
    expect(bodies(text).map((body) => (JSON.parse(body) as string[])[1])).toEqual(['/1', '/2', '/3']);
  });

  test('closes after Connection: close, and keeps HTTP/1.0 open only on request', async () => {
    const get = (version: string, header: string) => `GET /run/echo/ ${version}\r\n${host}${header}\r\n`;
    const count = async (one: string) => bodies(await guest.raw(one + one)).length;
    expect(await count(get('HTTP/1.1', 'Connection: x, Close\r\n'))).toBe(1);
    expect(await count(get('HTTP/1.1', ''))).toBe(2);
    expect(await count(get('HTTP/1.0', ''))).toBe(1);
    expect(await count(get('HTTP/1.0', 'Connection: keep-alive\r\n'))).toBe(2);
  });
});

describe('HTTP/1.1 responses', () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await Guest.leaf(`
def app(environ, start_response):
    kind = environ["PATH_INFO"]
    if kind == "/short":
        start_response("200 OK", [("Content-Length", "10")])
        return [b"abc"]
    if kind == "/long":
        start_response("200 OK", [("Content-Length", "2")])
        return [b"a", b"bcd"]
    if kind == "/hop":
        start_response("200 OK", [("Transfer-Encoding", "chunked"), ("Connection", "close"), ("X", "y")])
        return [b"a"]
    if kind == "/204":
        start_response("204 No Content", [])
        return []
    if kind == "/unread":
        start_response("200 OK", [])
        return [b"ok"]
    start_response("200 Fine", [("X-Twice", "1"), ("X-Twice", "2")])
    return iter([b"ab", b"", b"c"])
`);
    await guest.request();
  });
  afterAll(() => guest.stop());

  const get = (kind: string, version = '1.1', method = 'GET') =>
    guest.raw(`${method} /run/echo${kind} HTTP/${version}\r\nHost: root\r\n\r\n`);

  test('are chunked when the length is unknown', async () => {
    expect(await get('/')).toBe(
      'HTTP/1.1 200 Fine\r\nX-Twice: 1\r\nX-Twice: 2\r\ntransfer-encoding: chunked\r\n\r\n' +
        '2\r\nab\r\n1\r\nc\r\n0\r\n\r\n',
    );
  });

  test('to HTTP/1.0 end with the connection when the length is unknown', async () => {
    expect(await get('/', '1.0')).toMatch(/^HTTP\/1\.1 200 Fine\r\n[^]*connection: close\r\n\r\nabc$/);
  });

  test('to HEAD have no body, and the connection stays usable', async () => {
    const text = await guest.raw(
      'HEAD /run/echo/ HTTP/1.1\r\nHost: root\r\n\r\nGET /run/echo/204 HTTP/1.1\r\nHost: root\r\n\r\n',
    );
    expect(text).toBe('HTTP/1.1 200 Fine\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n');
  });

  test('that end before their Content-Length end the connection', async () => {
    const one = 'GET /run/echo/short HTTP/1.1\r\nHost: root\r\n\r\n';
    expect(await guest.raw(one + one)).toBe('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
  });

  test('that exceed their Content-Length are truncated', async () => {
    expect(await get('/long')).toBe('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab');
  });

  test('contain no hop-by-hop headers of the application', async () => {
    expect(await get('/hop')).toBe('HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 1\r\n\r\na');
  });

  test('do not pass unread request bodies to the next request', async () => {
    const body = 'GET /evil HTTP/1.1\r\n\r\n'.repeat(10_000);
    const one = `POST /run/echo/unread HTTP/1.1\r\nHost: root\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    expect((await guest.raw(one + one)).match(/HTTP\/1.1 200 OK/g)).toHaveLength(2);
  });
});
