/** Contract, section 1: /run/<name>, its errors, and the request as a function sees it. */
import { createHash } from 'node:crypto';
import { argyleTest, type LiveWorker } from '../../support/contract-target';

/** Plain WSGI: returns the request as it arrived, including the headers. */
const TELL = `import json

def wsgi(environ, start_response):
    body = environ["wsgi.input"].read()
    known = ["REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH"]
    told = {key: environ[key] for key in known if key in environ}
    told["body"] = body.decode("latin1")
    answer = json.dumps(told).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]
`;
const WSGI = 'environment:\n  OL_WSGI_ENTRY: wsgi\n';
/** Names the entry, because the original takes an `async def` for WSGI. */
const ASGI = 'environment:\n  OL_ASGI_ENTRY: app\n';

/** ASGI: returns its scope unchanged. */
const SCOPE = `import json

async def app(scope, receive, send):
    told = {key: scope[key] for key in ["method", "path", "root_path"]}
    told["query_string"] = scope["query_string"].decode("latin1")
    # The original has no raw_path, and does not decode the path.
    told["raw_path"] = scope["raw_path"].decode("latin1") if "raw_path" in scope else scope["path"]
    answer = json.dumps(told).encode()
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
`;

export function runStatements(worker: LiveWorker): void {
  let echo: string;
  let tell: string;
  let scope: string;

  beforeAll(async () => {
    echo = await worker.deploy('echo', 'echo');
    tell = await worker.deploy('tell', { 'f.py': TELL, 'ol.yaml': WSGI });
    scope = await worker.deploy('scope', { 'f.py': SCOPE, 'ol.yaml': ASGI });
  });

  const told = async (path: string, options = {}) =>
    JSON.parse((await worker.call(`/run/${path}`, options)).body) as Record<string, string>;

  test('/run/ is 500 without a newline and with the only CORS header', async () => {
    const reply = await worker.call('/run/');
    expect(reply).toMatchObject({ status: 500, body: 'expected invocation format: /run/<lambda-name>' });
    expect(reply.headers['access-control-allow-origin']).toBe('*');
  });

  test('no other answer has a CORS header', async () => {
    for (const path of ['/status', '/stats', '/debug', '/registry/', '/run/unknown', '/nope', `/run/${echo}`]) {
      const { rawHeaders } = await worker.call(path, { method: 'POST', headers: { origin: 'http://x' } });
      expect([path, rawHeaders.join().toLowerCase().includes('access-control')]).toEqual([path, false]);
    }
  });

  test('f(event) gets the JSON body, and its result is the answer as application/json', async () => {
    const event = { a: [1, 2.5, null, true], text: 'ü€😀' };
    const reply = await worker.invoke(echo, event);
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toBe('application/json');
    expect(JSON.parse(reply.body)).toEqual(event);
  });

  test('an empty body is the event {}', async () => {
    expect(await worker.invoke(echo)).toMatchObject({ status: 200, body: '{}' });
  });

  test('a trailing slash, a path and a query after the name are accepted', async () => {
    for (const rest of ['', '/', '/more/of/it', '?q=1', '/?q=1']) {
      expect(await worker.invoke(echo + rest, 1)).toMatchObject({ status: 200, body: '1' });
    }
  });

  test('the name is the first segment of the decoded path', async () => {
    const escaped = echo.replace('-', '%2D');
    expect(await worker.invoke(escaped, 1)).toMatchObject({ status: 200, body: '1' });
    expect(await worker.invoke(`${echo}%2Fmore`, 1)).toMatchObject({ status: 200, body: '1' });
  });

  test.each(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND'])('%s is passed on', async (method) => {
    expect(await told(tell, { method })).toMatchObject({ REQUEST_METHOD: method });
  });

  test('HEAD is passed on, and its answer has no body', async () => {
    expect(await worker.call(`/run/${tell}`, { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
  });

  test('OPTIONS is passed to the function, without an own answer or CORS header of the worker', async () => {
    const headers = { origin: worker.url, 'access-control-request-method': 'POST' };
    const reply = await worker.call(`/run/${tell}`, { method: 'OPTIONS', headers });
    expect(JSON.parse(reply.body)).toMatchObject({ REQUEST_METHOD: 'OPTIONS' });
    expect(reply.rawHeaders.join().toLowerCase()).not.toContain('access-control');
  });

  test('WSGI: SCRIPT_NAME is /run/<name>, PATH_INFO the rest', async () => {
    expect(await told(`${tell}/a/b?x=1&y=%2F`)).toMatchObject({
      SCRIPT_NAME: `/run/${tell}`,
      PATH_INFO: '/a/b',
      QUERY_STRING: 'x=1&y=%2F',
    });
  });

  test.each(['GET', 'POST', 'HEAD', 'OPTIONS'])(
    'WSGI: PATH_INFO is / for /run/<name> and for /run/<name>/, never empty (%s)',
    async (method) => {
      const code = `def wsgi(environ, start_response):
    start_response("200 OK", [("X-Path", environ["SCRIPT_NAME"] + "|" + environ["PATH_INFO"]), ("Content-Length", "0")])
    return []
`;
      const name = await worker.deploy(`path-info-${method}`, { 'f.py': code, 'ol.yaml': WSGI });
      for (const path of [`/run/${name}`, `/run/${name}/`, `/run/${name}?x=/`]) {
        expect((await worker.call(path, { method })).headers['x-path']).toBe(`/run/${name}|/`);
      }
    },
  );

  test('ASGI: the path is never empty: /run/<name> gives / after root_path, as /run/<name>/ does', async () => {
    for (const path of [scope, `${scope}/`, `${scope}?x=1`]) {
      const { path: seen, root_path: mount } = await told(path);
      expect([mount, seen?.replace(mount ?? '', '')]).toEqual([`/run/${scope}`, '/']);
    }
  });

  argyleTest('ASGI: path contains root_path, as version 2.3 of its specification requires', async () => {
    expect(await told(`${scope}/a%20b`)).toMatchObject({ path: `/run/${scope}/a b` });
  });

  argyleTest('WSGI: PATH_INFO is decoded, as PEP 3333 requires', async () => {
    expect(await told(`${tell}/a%2Fb%20c`)).toMatchObject({ PATH_INFO: '/a/b c' });
  });

  test('ASGI: root_path is /run/<name>, and path begins with it', async () => {
    expect(await told(`${scope}/a/b?x=1`)).toMatchObject({ root_path: `/run/${scope}`, query_string: 'x=1' });
  });

  test('the raw request URI is forwarded with its escapes', async () => {
    const uri = `/run/${scope}/%41%2fb%20c?x=%41+b&&=`;
    const seen = await told(uri.slice('/run/'.length));
    expect(seen).toMatchObject({ query_string: 'x=%41+b&&=' });
    expect(seen['raw_path']).toContain('/%41%2fb%20c');
  });

  test('binary bodies pass unchanged', async () => {
    const bytes = Buffer.from(Array.from({ length: 512 }, (_, i) => i % 256));
    const seen = await told(tell, { body: bytes });
    const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex');
    expect(digest(Buffer.from(seen['body'] ?? '', 'latin1'))).toBe(digest(bytes));
  });

  test("the answer has the function's status", async () => {
    const code = `def wsgi(environ, start_response):
    status = environ["QUERY_STRING"]
    start_response(status + " Whatever", [("Content-Length", "0")])
    return []
`;
    const name = await worker.deploy('status', { 'f.py': code, 'ol.yaml': WSGI });
    for (const status of [200, 201, 204, 301, 304, 400, 404, 418, 500, 503]) {
      expect((await worker.call(`/run/${name}?${status}`)).status).toBe(status);
    }
  });

  test('an unknown lambda is 500: not found in blob store, with bucket and key', async () => {
    const { status, body } = await worker.call('/run/unknown');
    expect(status).toBe(500);
    expect(body).toMatch(/^lambda "unknown" not found in blob store \(bucket=".*", key="unknown\.tar\.gz"\)\n$/);
  });

  test.each([
    ['a%20b', 'a b'],
    ['x:y', 'x:y'],
    ['%C3%BC', 'ü'],
  ])('an invalid name %s is 500 with the pattern of valid names', async (path, name) => {
    const message = `invalid function name "${name}"; must match ^[A-Za-z0-9\\.\\-\\_]+$\n`;
    expect(await worker.call(`/run/${path}`)).toMatchObject({ status: 500, body: message });
  });

  test('an archive without an entry is 500 `cannot determine runtime: no f.py or f.bin found in DIR`', async () => {
    const name = await worker.place('noentry', { 'other.py': '' });
    const { status, body } = await worker.invoke(name);
    expect(status).toBe(500);
    expect(body).toMatch(/^cannot determine runtime: no f\.py or f\.bin found in \S+\n$/);
  });

  test('an exception is 500 text/plain with the traceback, and the sandbox continues', async () => {
    const name = await worker.deploy('raises', {
      'f.py':
        'count = 0\n\ndef f(event):\n    global count\n    count += 1\n    return 1 / (0 if event else 1) + count\n',
    });
    const reply = await worker.invoke(name, 1);
    expect(reply.status).toBe(500);
    expect(reply.headers['content-type']).toMatch(/^text\/plain/);
    expect(reply.body).toMatch(/^Traceback [^]*ZeroDivisionError: division by zero\s*$/);
    expect(await worker.invoke(name, 0)).toMatchObject({ status: 200, body: '3.0' });
  });

  test('ASGI: an exception is 500 with the traceback', async () => {
    const name = await worker.deploy('asgi-raises', {
      'f.py': 'async def app(scope, receive, send):\n    raise ValueError("at fault")\n',
      'ol.yaml': ASGI,
    });
    const { status, body } = await worker.invoke(name);
    expect([status, body.includes('ValueError: at fault')]).toEqual([500, true]);
  });

  test('WSGI: an uncaught exception kills the sandbox (502)', async () => {
    const code = 'def wsgi(environ, start_response):\n    raise ValueError("at fault")\n';
    const name = await worker.deploy('wsgi-raises', { 'f.py': code, 'ol.yaml': WSGI });
    const { status, body } = await worker.invoke(name);
    expect(status).toBe(502);
    expect(body).toMatch(/^RoundTrip failed: /);
  });

  test('an import failure is 502', async () => {
    const name = await worker.deploy('import-fails', { 'f.py': 'import nothing_of_the_kind\n' });
    const { status, body } = await worker.invoke(name);
    expect([status, body.startsWith('RoundTrip failed: ')]).toEqual([502, true]);
  });

  test.each([
    ['exit', 'import os\n\ndef f(event):\n    os._exit(3)\n'],
    ['signal', 'import ctypes\n\ndef f(event):\n    ctypes.string_at(0)\n'],
    ['memory', 'def f(event):\n    return len(b"x" * (400 << 20))\n'],
  ])(
    'a crash by %s is 502 `RoundTrip failed: ERR\\n\\nSandbox State: DEBUG\\n`, and the next call works',
    async (how, code) => {
      const source = code.replace('def f(event):\n', 'def f(event):\n    if event == "ok":\n        return event\n');
      const name = await worker.deploy(`crash-${how}`, { 'f.py': source });
      const { status, body } = await worker.invoke(name, {});
      expect(status).toBe(502);
      expect(body).toMatch(
        /^RoundTrip failed: \S[^]*\n\nSandbox State: (SOCK \S+|SANDBOX \S+ is DEAD: )[^]*[^\n]\n\n$/,
      );
      expect(await worker.invoke(name, 'ok')).toMatchObject({ status: 200, body: '"ok"' });
    },
  );

  test('ol.yaml and 405: `HTTP method not allowed. Sent: M, Allowed: […]\\n`, no Allow header', async () => {
    const name = await worker.deploy('methods', {
      'f.py': 'def f(event):\n    return 1\n',
      'ol.yaml': 'triggers:\n  http:\n    - method: POST\n    - method: GET\n',
    });
    const reply = await worker.call(`/run/${name}`, { method: 'PUT' });
    const body = 'HTTP method not allowed. Sent: PUT, Allowed: [POST GET]\n';
    expect(reply).toMatchObject({ status: 405, body });
    expect(reply.headers.allow).toBeUndefined();
    expect(await worker.call(`/run/${name}`, { method: 'GET' })).toMatchObject({ status: 200 });
    expect(await worker.call(`/run/${name}`, { method: 'OPTIONS' })).toMatchObject({ status: 405 });
    expect(await worker.call(`/run/${name}`, { method: 'HEAD' })).toMatchObject({ status: 405 });
  });

  test('the pull comes before the method check: broken code answers 500, not 405', async () => {
    const name = await worker.place('order', { 'g.py': '', 'ol.yaml': 'triggers:\n  http: []\n' });
    expect(await worker.call(`/run/${name}`, { method: 'PUT' })).toMatchObject({ status: 500 });
  });

  test('a sandbox serves one request at a time, and several sandboxes run concurrently', async () => {
    const code = `import time, uuid

ME = str(uuid.uuid4())

def f(event):
    start = time.time()
    time.sleep(0.3)
    return [ME, start, time.time()]
`;
    const name = await worker.deploy('parallel', { 'f.py': code });
    const replies = await Promise.all(Array.from({ length: 6 }, () => worker.invoke(name)));
    const spans = replies.map(({ body }) => JSON.parse(body) as [string, number, number]);
    for (const [index, [sandbox, start]] of spans.entries()) {
      const during = spans.filter(
        ([other, from, to], i) => i !== index && other === sandbox && from < start && start < to,
      );
      expect(during).toEqual([]);
    }
  });

  argyleTest('typed errors have the header X-Argyle-Error', async () => {
    const missing = await worker.call('/run/unknown');
    expect(missing.headers['x-argyle-error']).toBe('LAMBDA_NOT_FOUND');
  });
}
