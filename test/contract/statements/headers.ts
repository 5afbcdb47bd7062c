/** Contract, section 1: headers of requests and responses. */
import { gzipSync } from 'node:zlib';
import { argyleTest, type LiveWorker } from '../../support/contract-target';

/** ASGI: returns the headers in their order, and sends the headers that the query names. */
const HEADERS = `import gzip
import json
from urllib.parse import parse_qsl

async def app(scope, receive, send):
    query = parse_qsl(scope["query_string"].decode())
    body = json.dumps([[k.decode("latin1"), v.decode("latin1")] for k, v in scope["headers"]]).encode()
    headers = [(k.encode(), v.encode()) for k, v in query if k != "gzip"]
    if ("gzip", "1") in query:
        body = gzip.compress(body)
        headers.append((b"content-encoding", b"gzip"))
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
`;

export function headerStatements(worker: LiveWorker): void {
  let name: string;
  beforeAll(async () => {
    name = await worker.deploy('headers', { 'f.py': HEADERS, 'ol.yaml': 'environment:\n  OL_ASGI_ENTRY: app\n' });
  });

  /** The headers that the function got for a request with exactly these header lines. */
  async function seen(...lines: string[]): Promise<Record<string, string[]>> {
    const text = await worker.raw([`GET /run/${name} HTTP/1.1`, 'Connection: close', ...lines]);
    const json = /\[\[.*\]\]/s.exec(text)?.[0] ?? '';
    const found: Record<string, string[]> = {};
    for (const [key, value] of JSON.parse(json) as [string, string][]) (found[key.toLowerCase()] ??= []).push(value);
    return found;
  }

  argyleTest("Host is the client's Host", async () => {
    expect(await seen('Host: 192.0.2.7:1234')).toMatchObject({ host: ['192.0.2.7:1234'] });
  });

  argyleTest("X-Forwarded-For, -Host, -Proto, -Prefix and Forwarded describe the client's way", async () => {
    const told = await seen('Host: 192.0.2.7:1234', 'X-Forwarded-For: 1.2.3.4');
    const [peer = ''] = (told['x-forwarded-for']?.[0] ?? '').split(', ').slice(-1);
    expect(peer).toMatch(/^[\d.]+$|:/);
    expect(told).toMatchObject({
      'x-forwarded-for': [`1.2.3.4, ${peer}`],
      'x-forwarded-host': ['192.0.2.7:1234'],
      'x-forwarded-proto': ['http'],
      'x-forwarded-prefix': [`/run/${name}`],
      forwarded: [expect.stringContaining(';proto=http;host="192.0.2.7:1234"')],
    });
  });

  test('a missing User-Agent becomes Go-http-client/1.1, an existing one is unchanged', async () => {
    expect(await seen('Host: x')).toMatchObject({ 'user-agent': ['Go-http-client/1.1'] });
    expect(await seen('Host: x', 'User-Agent: mine/2')).toMatchObject({ 'user-agent': ['mine/2'] });
  });

  test('a missing Accept-Encoding becomes gzip, an existing one is unchanged', async () => {
    expect(await seen('Host: x')).toMatchObject({ 'accept-encoding': ['gzip'] });
    expect(await seen('Host: x', 'Accept-Encoding: br;q=0.5')).toMatchObject({ 'accept-encoding': ['br;q=0.5'] });
  });

  test('gzip that the client did not request is decoded', async () => {
    const reply = await worker.call(`/run/${name}?gzip=1`);
    expect(reply.headers['content-encoding']).toBeUndefined();
    expect(JSON.parse(reply.body)).toEqual(expect.arrayContaining([['accept-encoding', 'gzip']]));
  });

  test('gzip that the client requested is passed on unchanged', async () => {
    const reply = await worker.call(`/run/${name}?gzip=1`, { headers: { 'accept-encoding': 'gzip' } });
    expect(reply.headers['content-encoding']).toBe('gzip');
    expect(reply.bytes.subarray(0, 2)).toEqual(gzipSync('').subarray(0, 2));
  });

  test('all other request headers are forwarded, including duplicates', async () => {
    const headers = await seen(
      'Host: x',
      'X-Many: a',
      'x-many: b',
      'Cookie: c=1',
      'Authorization: Basic eDp5',
      'X-Empty:',
    );
    expect(headers).toMatchObject({
      'x-many': ['a', 'b'],
      cookie: ['c=1'],
      authorization: ['Basic eDp5'],
      'x-empty': [''],
    });
  });

  test("the answer has the function's headers in order, including duplicates", async () => {
    const reply = await worker.call(`/run/${name}?X-Part=a&Set-Cookie=a%3D1&Set-Cookie=b%3D2&X-Part=b`);
    const list = (key: string) =>
      reply.rawHeaders.filter((_, i, all) => i % 2 === 1 && all[i - 1]?.toLowerCase() === key);
    expect([list('x-part'), list('set-cookie')]).toEqual([
      ['a', 'b'],
      ['a=1', 'b=2'],
    ]);
  });

  argyleTest('hop-by-hop headers, and those that Connection names, are not forwarded', async () => {
    const headers = await seen(
      'Host: x',
      'Connection: X-Hop',
      'X-Hop: 1',
      'TE: trailers',
      'Keep-Alive: 5',
      'Upgrade: h2c',
    );
    // The connection to the function has headers of its own.
    expect(headers['connection']?.join()).not.toContain('X-Hop');
    for (const gone of ['x-hop', 'te', 'keep-alive', 'upgrade']) expect(headers[gone]).toBeUndefined();
    const reply = await worker.call(`/run/${name}?keep-alive=timeout%3D77&proxy-authenticate=x&x-stays=1`);
    expect(reply.headers['x-stays']).toBe('1');
    expect(reply.headers['proxy-authenticate']).toBeUndefined();
    expect(reply.headers['keep-alive']).not.toBe('timeout=77');
  });

  argyleTest('an answer without a content type stays without one', async () => {
    expect((await worker.call(`/run/${name}`)).headers['content-type']).toBeUndefined();
  });

  describe('redirects', () => {
    let app: string;
    const code = `from urllib.parse import parse_qs

def wsgi(environ, start_response):
    query = parse_qs(environ["QUERY_STRING"])
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read()
    if path == "/end":
        body = environ["REQUEST_METHOD"].encode() + b" " + body
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    if path == "/loop":
        count = int(query["n"][0])
        where = f"{environ['SCRIPT_NAME']}/loop?n={count - 1}" if count else f"{environ['SCRIPT_NAME']}/end"
    else:
        where = query["to"][0]
    headers = [("Location", where), ("Content-Type", "text/plain"), ("Content-Length", "10")]
    headers += [("Set-Cookie", c) for c in query.get("c", [])]
    start_response(query.get("status", ["302"])[0] + " Moved", headers)
    return [b"look there"]
`;
    beforeAll(async () => {
      app = await worker.deploy('redirects', { 'f.py': code, 'ol.yaml': 'environment:\n  OL_WSGI_ENTRY: wsgi\n' });
    });
    const ask = (to: string, more = '', options = {}) =>
      worker.call(`/run/${app}?to=${encodeURIComponent(to.replace('APP', app))}${more}`, options);

    test.each(['http://root/run/APP/end', '/run/APP/end'])('to %s are followed inside the worker', async (to) => {
      for (const status of [301, 302, 303, 307, 308]) {
        expect(await ask(to, `&status=${status}`)).toMatchObject({ status: 200, body: 'GET ' });
      }
    });

    argyleTest("to the client's host are followed inside the worker, like those to root", async () => {
      expect(await ask(`${worker.url}/run/APP/end`)).toMatchObject({ status: 200, body: 'GET ' });
    });

    test('with 301, 302 and 303 become GET without a body', async () => {
      for (const status of [301, 302, 303]) {
        const reply = await ask('/run/APP/end', `&status=${status}`, { method: 'POST', body: 'abc' });
        expect(reply).toMatchObject({ status: 200, body: 'GET ' });
      }
      expect(await ask('/run/APP/end', '', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
    });

    argyleTest('with 307 and 308 keep method and body', async () => {
      for (const status of [307, 308]) {
        const reply = await ask('/run/APP/end', `&status=${status}`, { method: 'PUT', body: 'abc' });
        expect(reply).toMatchObject({ status: 200, body: 'PUT abc' });
      }
    });

    test('with 307 and a body that cannot be sent again are passed to the client', async () => {
      const headers = { 'transfer-encoding': 'chunked' };
      const options = { method: 'POST', body: 'a'.repeat(200_000), headers };
      const reply = await ask('http://root/run/APP/end', '&status=307', options);
      expect([reply.status, reply.body]).toEqual([307, 'look there']);
    });

    argyleTest("to root that are passed to the client have the client's own host", async () => {
      const headers = { 'transfer-encoding': 'chunked' };
      const options = { method: 'POST', body: 'a'.repeat(200_000), headers };
      const reply = await ask('http://root/run/APP/end', '&status=307', options);
      expect(reply.headers['location']).toBe(`${worker.url}/run/${app}/end`);
    });

    argyleTest.each([
      ['/status', '/status'],
      ['http://root/status?x', 'URL/status?x'],
      ['/run/another/', '/run/another/'],
      ['http://example.com/', 'http://example.com/'],
      ['https://root/run/APP/end', 'SECURE/run/APP/end'],
    ])('to %s are passed to the client, and the sandbox continues', async (to, expected) => {
      const reply = await ask(to);
      expect([reply.status, reply.body]).toEqual([302, 'look there']);
      expect(reply.headers['location']).toBe(
        expected
          .replace('URL', worker.url)
          .replace('SECURE', worker.url.replace('http:', 'https:'))
          .replace('APP', app),
      );
      expect(await worker.call(`/run/${app}/end`)).toMatchObject({ status: 200 });
    });

    argyleTest(
      'that set cookies are passed to the client, because the next request must carry the cookies',
      async () => {
        const reply = await ask('/run/APP/end', '&c=a%3D1&c=b%3D2');
        expect(reply).toMatchObject({ status: 302, headers: { 'set-cookie': ['a=1', 'b=2'] } });
      },
    );

    test('are followed nine times in a row', async () => {
      expect(await worker.call(`/run/${app}/loop?n=8`)).toMatchObject({ status: 200, body: 'GET ' });
    });

    argyleTest('are passed to the client after ten, and the sandbox continues', async () => {
      const reply = await worker.call(`/run/${app}/loop?n=100`);
      expect(reply).toMatchObject({ status: 302, headers: { location: `/run/${app}/loop?n=89` } });
    });
  });
}
