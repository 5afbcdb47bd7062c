/** Contract, section 1: headers of requests and responses. */
import { gzipSync } from 'node:zlib';
import { argyleTest, type LiveWorker } from '../../support/live-worker';

/** ASGI: tells the headers in their order, and answers with those that the query names. */
const HEADERS = `import gzip
import json
from urllib.parse import parse_qsl

async def app(scope, receive, send):
    query = parse_qsl(scope["query_string"].decode())
    body = json.dumps([[k.decode("latin1"), v.decode("latin1")] for k, v in scope["headers"]]).encode()
    headers = [(k.encode(), v.encode()) for k, v in query if k != "gzip"]
    if ("gzip", "1") in query:
        body = gzip.compress(body)
        headers += [(b"content-encoding", b"gzip"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
`;

export function headerStatements(worker: LiveWorker): void {
  let name: string;
  beforeAll(async () => {
    name = await worker.deploy('headers', { 'f.py': HEADERS });
  });

  /** What the lambda saw of a request with exactly these header lines. */
  async function seen(...lines: string[]): Promise<Record<string, string[]>> {
    const text = await worker.raw([`GET /run/${name} HTTP/1.1`, 'Connection: close', ...lines]);
    const json = /\[\[.*\]\]/s.exec(text)?.[0] ?? '';
    const found: Record<string, string[]> = {};
    for (const [key, value] of JSON.parse(json) as [string, string][]) (found[key.toLowerCase()] ??= []).push(value);
    return found;
  }

  test('Host becomes root', async () => {
    expect(await seen('Host: 192.0.2.7:1234')).toMatchObject({ host: ['root'] });
  });

  test('an absent User-Agent becomes Go-http-client/1.1, a present one stays', async () => {
    expect(await seen('Host: x')).toMatchObject({ 'user-agent': ['Go-http-client/1.1'] });
    expect(await seen('Host: x', 'User-Agent: mine/2')).toMatchObject({ 'user-agent': ['mine/2'] });
  });

  test('an absent Accept-Encoding becomes gzip, a present one stays', async () => {
    expect(await seen('Host: x')).toMatchObject({ 'accept-encoding': ['gzip'] });
    expect(await seen('Host: x', 'Accept-Encoding: br;q=0.5')).toMatchObject({ 'accept-encoding': ['br;q=0.5'] });
  });

  test('gzip that the client did not ask for is decoded', async () => {
    const reply = await worker.call(`/run/${name}?gzip=1`);
    expect(reply.headers['content-encoding']).toBeUndefined();
    expect(JSON.parse(reply.body)).toEqual(expect.arrayContaining([['accept-encoding', 'gzip']]));
  });

  test('gzip that the client asked for passes as it is', async () => {
    const reply = await worker.call(`/run/${name}?gzip=1`, { headers: { 'accept-encoding': 'gzip' } });
    expect(reply.headers['content-encoding']).toBe('gzip');
    expect(reply.bytes.subarray(0, 2)).toEqual(gzipSync('').subarray(0, 2));
  });

  test('all other request headers are forwarded, duplicates kept', async () => {
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

  test("the lambda's headers are the answer's, duplicates kept and in order", async () => {
    const reply = await worker.call(`/run/${name}?X-Part=a&Set-Cookie=a%3D1&Set-Cookie=b%3D2&X-Part=b`);
    const list = (key: string) =>
      reply.rawHeaders.filter((_, i, all) => i % 2 === 1 && all[i - 1]?.toLowerCase() === key);
    expect([list('x-part'), list('set-cookie')]).toEqual([
      ['a', 'b'],
      ['a=1', 'b=2'],
    ]);
  });

  argyleTest('hop-by-hop headers, and those that Connection names, stay on their connection', async () => {
    const headers = await seen(
      'Host: x',
      'Connection: X-Hop',
      'X-Hop: 1',
      'TE: trailers',
      'Keep-Alive: 5',
      'Upgrade: h2c',
    );
    // The connection to the lambda has headers of its own.
    expect(headers['connection']?.join()).not.toContain('X-Hop');
    for (const gone of ['x-hop', 'te', 'keep-alive', 'upgrade']) expect(headers[gone]).toBeUndefined();
    const reply = await worker.call(`/run/${name}?keep-alive=timeout%3D77&proxy-authenticate=x&x-stays=1`);
    expect(reply.headers['x-stays']).toBe('1');
    expect(reply.headers['proxy-authenticate']).toBeUndefined();
    expect(reply.headers['keep-alive']).not.toBe('timeout=77');
  });

  argyleTest('content types are not guessed: a lambda that names none gets none', async () => {
    expect((await worker.call(`/run/${name}`)).headers['content-type']).toBeUndefined();
  });

  test('redirects of the lambda are not followed inside the worker', async () => {
    const code = `def wsgi(environ, start_response):
    start_response("302 Found", [("Location", "/status"), ("Content-Length", "0")])
    return []
`;
    const redirect = await worker.deploy('redirects', {
      'f.py': code,
      'ol.yaml': 'environment:\n  OL_WSGI_ENTRY: wsgi\n',
    });
    for (let i = 0; i < 2; i++) {
      const reply = await worker.call(`/run/${redirect}`, { method: 'GET' });
      expect(reply).toMatchObject({ status: 302, headers: { location: '/status' } });
    }
  });
}
