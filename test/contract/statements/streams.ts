/** Contract, section 1: streamed bodies, large bodies, clients that leave, and timeouts. */
import type { IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { argyleTest, type LiveWorker, localTest, replyOf } from '../../support/contract-target';
import { sleep, until } from '../../support/until';

const SINK = `import hashlib

async def app(scope, receive, send):
    digest, size = hashlib.md5(), 0
    while True:
        message = await receive()
        chunk = message.get("body", b"")
        digest.update(chunk)
        size += len(chunk)
        if not message.get("more_body"):
            break
    answer = f"{size} {digest.hexdigest()}".encode()
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
`;

const SOURCE = `CHUNK = b"x" * 65536

def wsgi(environ, start_response):
    count = int(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for _ in range(count):
        yield CHUNK
`;

/** Sends the first output of ASGI or of a generator at once, then sleeps. */
const SLOW = `import asyncio

async def app(scope, receive, send):
    before, after = [float(x) for x in scope["query_string"].decode().split("+")]
    await asyncio.sleep(before)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await asyncio.sleep(after)
    await send({"type": "http.response.body", "body": b"last"})
`;

const MB = 1 << 20;
const LARGE_MB = 100;
/** Memory of Node's own buffers and garbage, in MB. The body is far larger. */
const FLAT_MB = 70;

export function streamStatements(worker: LiveWorker): void {
  let sink: string;
  let slow: string;
  const wsgiYaml = 'environment:\n  OL_WSGI_ENTRY: wsgi\n';

  beforeAll(async () => {
    sink = await worker.deploy('sink', { 'f.py': SINK, 'ol.yaml': 'environment:\n  OL_ASGI_ENTRY: app\n' });
    slow = await worker.deploy('slow', { 'f.py': SLOW, 'ol.yaml': 'limits:\n  runtime_sec: 1\n' });
  });

  /** Sends `mb` MB, with a declared length or chunked. */
  async function send(mb: number, declared: boolean): Promise<string> {
    const request = worker.open(`/run/${sink}`, {
      method: 'POST',
      headers: declared ? { 'content-length': mb * MB } : {},
    });
    const reply = replyOf(request);
    const chunk = Buffer.alloc(MB / 4, 'y');
    for (let i = 0; i < mb * 4; i++) if (!request.write(chunk)) await once(request, 'drain');
    request.end();
    return (await reply).body;
  }

  async function responseOf(path: string): Promise<IncomingMessage> {
    const request = worker.open(path);
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return response;
  }

  argyleTest('request bodies are streamed: the function reads the first part before the last is sent', async () => {
    const code = `async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b"").upper(), "more_body": more})
`;
    const name = await worker.deploy('both-ways', { 'f.py': code });
    const request = worker.open(`/run/${name}`, { method: 'POST', headers: { 'transfer-encoding': 'chunked' } });
    request.write('first ');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    let text = '';
    response.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await until('the first part came back', () => text === 'FIRST ');
    const end = once(response, 'end');
    request.end('last');
    await end;
    expect(text).toBe('FIRST LAST');
  });

  argyleTest('a chunked request body arrives completely', async () => {
    expect(await send(1, false)).toMatch(/^1048576 /);
    const echo = await worker.deploy('echo-chunked', 'echo');
    const request = worker.open(`/run/${echo}`, { method: 'POST', headers: { 'transfer-encoding': 'chunked' } });
    const reply = replyOf(request);
    request.write('{"a"');
    await sleep(20);
    request.end(':1}');
    expect(JSON.parse((await reply).body)).toEqual({ a: 1 });
  });

  argyleTest('WSGI reads a chunked request body', async () => {
    const name = await worker.deploy('wsgi-chunked', 'wsgi');
    const request = worker.open(`/run/${name}`, { method: 'POST', headers: { 'transfer-encoding': 'chunked' } });
    const reply = replyOf(request);
    request.write('one ');
    request.end('two');
    expect(JSON.parse((await reply).body)).toMatchObject({ body: 'one two' });
  });

  argyleTest('WSGI without Content-Length ends as soon as it is complete', async () => {
    const name = await worker.deploy('wsgi', 'wsgi');
    const start = Date.now();
    const reply = await worker.invoke(name, 'x');
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.body)).toMatchObject({ REQUEST_METHOD: 'POST', body: '"x"' });
    expect(Date.now() - start).toBeLessThan(8000);
  });

  argyleTest('responses are streamed: server-sent events arrive one by one', async () => {
    const name = await worker.deploy('sse', 'sse');
    const response = await responseOf(`/run/${name}?count=4&ms=150`);
    expect(response.headers['content-type']).toBe('text/event-stream');
    const times: number[] = [];
    let text = '';
    for await (const chunk of response) {
      times.push(Date.now());
      text += String(chunk);
    }
    expect(text.match(/^data: /gm)).toHaveLength(4);
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(250);
  });

  localTest(`${LARGE_MB} MB pass in both directions with constant memory of the worker`, async () => {
    const code = { 'f.py': SOURCE, 'ol.yaml': wsgiYaml };
    const source = await worker.deploy('source', code);
    await send(4, true);
    const before = worker.rssMb;
    let most = before;
    const watch = setInterval(() => (most = Math.max(most, worker.rssMb)), 20);
    try {
      expect(await send(LARGE_MB, true)).toMatch(new RegExp(`^${LARGE_MB * MB} `));
      expect(await send(LARGE_MB, false)).toMatch(new RegExp(`^${LARGE_MB * MB} `));
      let bytes = 0;
      for await (const chunk of await responseOf(`/run/${source}?${LARGE_MB * 16}`)) bytes += (chunk as Buffer).length;
      expect(bytes).toBe(LARGE_MB * MB);
    } finally {
      clearInterval(watch);
    }
    expect(most - before).toBeLessThan(FLAT_MB);
  });

  localTest("a client that reads slowly blocks the function, and does not fill the worker's memory", async () => {
    const source = await worker.deploy('source-slow', { 'f.py': SOURCE, 'ol.yaml': wsgiYaml });
    const response = await responseOf(`/run/${source}?${LARGE_MB * 16}`);
    const before = worker.rssMb;
    await sleep(700);
    expect(worker.rssMb - before).toBeLessThan(FLAT_MB);
    response.destroy();
  });

  argyleTest('a client that disconnects cancels its call, and its sandbox ends', async () => {
    const name = await worker.deploy('forever', {
      'f.py': 'import time\n\ndef f(event):\n    time.sleep(25 if event else 0)\n    return 1\n',
    });
    await worker.invoke(name, 0);
    const sandboxes = async () => (await worker.call('/debug')).body.split(`-${name}\n`).length - 1;
    const request = worker.open(`/run/${name}`, { method: 'POST' });
    request.on('error', () => undefined);
    request.end('1');
    await sleep(150);
    expect(await sandboxes()).toBeGreaterThan(0);
    request.destroy();
    await until('no sandbox serves it any more', async () => (await sandboxes()) === 0, 8000);
    expect(await worker.invoke(name, 0)).toMatchObject({ status: 200, body: '1' });
  });

  argyleTest('a client that leaves during its upload ends only its own request', async () => {
    const request = worker.open(`/run/${sink}`, { method: 'POST', headers: { 'content-length': MB } });
    request.on('error', () => undefined);
    request.write(Buffer.alloc(MB / 2));
    await sleep(50);
    request.destroy();
    expect(await send(1, true)).toMatch(/^1048576 /);
  });

  argyleTest('a timeout before the headers is 502 `RoundTrip failed: …`, and the sandbox is destroyed', async () => {
    const start = Date.now();
    const { status, body } = await worker.call(`/run/${slow}?9+0`);
    expect(Date.now() - start).toBeLessThan(7000);
    expect(status).toBe(502);
    expect(body).toContain(`RoundTrip failed: Get "http://root/run/${slow}?9+0": context deadline exceeded`);
    expect(body).toContain('\n\nSandbox State: ');
    expect((await worker.call('/debug')).body).not.toContain(`-${slow}\n`);
    expect(await worker.call(`/run/${slow}?0+0`)).toMatchObject({ status: 200, body: 'firstlast' });
  });

  /** The whole answer as bytes on the wire. A client library would only report that the answer broke off. */
  const wire = (path: string, version = '1.1') =>
    worker.raw([`POST /run/${path} HTTP/${version}`, 'Host: x', 'Connection: close', 'Content-Length: 0']);
  const LAST_CHUNK = '\r\n0\r\n\r\n';

  argyleTest('a timeout after the headers appends `reading lambda response failed: …` to the body', async () => {
    const text = await wire(`${slow}?0+9`);
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text).toMatch(/\r\nfirst\r\n[0-9a-f]+\r\nreading lambda response failed: context deadline exceeded/);
    expect(text.endsWith(LAST_CHUNK)).toBe(false);
    expect(await worker.call(`/run/${slow}?0+0`)).toMatchObject({ status: 200, body: 'firstlast' });
  });

  const crashing = (headers: string) => ({
    'f.py': `import os

def wsgi(environ, start_response):
    start_response("200 OK", ${headers})
    yield b"x" * 100000
    os._exit(1)
`,
    'ol.yaml': wsgiYaml,
  });

  test('a crash after the headers appends `reading lambda response failed: …` to the body', async () => {
    const name = await worker.deploy('crash-late', crashing('[("Content-Length", "200000")]'));
    const text = await wire(name);
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text).toMatch(/xreading lambda response failed: /);
  });

  argyleTest('a crash after headers without a length does the same, in a separate chunk', async () => {
    const text = await wire(await worker.deploy('crash-unmeasured', crashing('[]')));
    expect(text).toMatch(/x\r\n[0-9a-f]+\r\nreading lambda response failed: /);
    expect(text.endsWith(LAST_CHUNK)).toBe(false);
  });

  describe('an exception in the middle of a response', () => {
    const wsgi = `def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/csv")])
    yield b"a,b\\n"
    raise ValueError("no more rows")
`;
    const asgi = `async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/csv")]})
    await send({"type": "http.response.body", "body": b"a,b\\n", "more_body": True})
    raise ValueError("no more rows")
`;
    const kinds: [string, Record<string, string>][] = [
      ['wsgi', { 'f.py': wsgi, 'ol.yaml': wsgiYaml }],
      ['asgi', { 'f.py': asgi }],
    ];

    argyleTest.each(kinds)(
      '%s: the last chunk is missing, so that every client detects the failure',
      async (kind, files) => {
        const name = await worker.deploy(`breaks-${kind}`, files);
        const text = await wire(name);
        expect(text).toMatch(/a,b\n\r\n[0-9a-f]+\r\nreading lambda response failed: /);
        expect(text.endsWith(LAST_CHUNK)).toBe(false);
        await expect(worker.invoke(name)).rejects.toThrow('aborted');
      },
    );

    argyleTest.each(kinds)('%s: HTTP/1.0 has no chunks, so the text reports the failure', async (kind, files) => {
      const name = await worker.deploy(`breaks-old-${kind}`, files);
      expect(await wire(name, '1.0')).toMatch(/\r\n\r\na,b\nreading lambda response failed: [^\r]+$/);
    });
  });
}
