/** Contract, section 4: ol.yaml, .env and entries. */
import { argyleTest, type LiveWorker } from '../../support/contract-target';

const ENV = `import os

def f(event):
    return {key: os.environ.get(key) for key in event} if event else sorted(os.environ)
`;
const HTTP = (methods: string) => `triggers:\n  http: ${methods}\n`;

export function yamlStatements(worker: LiveWorker): void {
  let serial = 0;
  const deploy = (files: Record<string, string>) => worker.deploy(`yaml-${++serial}`, { 'f.py': ENV, ...files });
  const envOf = async (files: Record<string, string>, keys: string[]) =>
    JSON.parse((await worker.invoke(await deploy(files), keys)).body) as Record<string, string>;

  test('a missing ol.yaml means the defaults: all methods, reuse', async () => {
    const name = await deploy({
      'f.py': 'count = 0\n\ndef f(event):\n    global count\n    count += 1\n    return count\n',
    });
    expect(await worker.call(`/run/${name}`, { method: 'DELETE' })).toMatchObject({ status: 200, body: '1' });
    expect(await worker.call(`/run/${name}`, { method: 'GET' })).toMatchObject({ status: 200, body: '2' });
  });

  test('a file without triggers allows every method', async () => {
    const name = await deploy({ 'ol.yaml': 'reuse-sandbox: true\n' });
    expect(await worker.call(`/run/${name}`, { method: 'DELETE' })).toMatchObject({ status: 200 });
  });

  test.each(['[]', 'null'])('http: %s denies all methods', async (list) => {
    const name = await deploy({ 'ol.yaml': HTTP(list) });
    const body = 'HTTP method not allowed. Sent: POST, Allowed: []\n';
    expect(await worker.invoke(name)).toMatchObject({ status: 405, body });
  });

  test('`*` allows every method', async () => {
    const name = await deploy({ 'ol.yaml': HTTP('[{method: "*"}]') });
    expect(await worker.call(`/run/${name}`, { method: 'PATCH' })).toMatchObject({ status: 200 });
  });

  test('methods are case-sensitive: `get` is not GET', async () => {
    const name = await deploy({ 'ol.yaml': HTTP('[{method: get}]') });
    const body = 'HTTP method not allowed. Sent: GET, Allowed: [get]\n';
    expect(await worker.call(`/run/${name}`)).toMatchObject({ status: 405, body });
  });

  test('unknown keys are ignored', async () => {
    const name = await deploy({ 'ol.yaml': 'nobody-knows: [1]\ntriggers:\n  other: {a: 1}\n' });
    expect(await worker.invoke(name)).toMatchObject({ status: 200 });
  });

  test.each([
    ['an HTTP trigger without a method', "triggers: {http: [{method: ''}]}", 'HTTP trigger method cannot be empty'],
    ['a cron trigger without a schedule', 'triggers: {cron: [{}]}', 'Cron trigger schedule cannot be empty'],
    [
      'a Kafka trigger without topics',
      'triggers: {kafka: [{bootstrap_servers: [h]}]}',
      'Kafka trigger must have at least one topic',
    ],
    [
      'a Kafka trigger without brokers',
      'triggers: {kafka: [{topics: [t]}]}',
      'Kafka trigger must specify at least one bootstrap server',
    ],
    ['an empty key in environment', "environment: {'': x}", 'Environment variable key cannot be empty'],
    ['a key with =', 'environment: {a=b: x}', "Environment variable key 'a=b' cannot contain '='"],
  ])('%s is refused: the upload is 500 with the reason', async (_what, yaml, why) => {
    const reply = await worker.upload(worker.name('refused'), { 'f.py': ENV, 'ol.yaml': `${yaml}\n` });
    expect([reply.status, reply.body]).toEqual([500, expect.stringContaining(`${why}\n`)]);
  });

  test('environment: scalars are kept as text', async () => {
    const yaml = 'environment:\n  A: 1.10\n  B: true\n  C: 0x10\n  D: hello world\n  E: "#x"\n';
    expect(await envOf({ 'ol.yaml': yaml }, ['A', 'B', 'C', 'D', 'E'])).toEqual({
      A: '1.10',
      B: 'true',
      C: '0x10',
      D: 'hello world',
      E: '#x',
    });
  });

  argyleTest('environment: ${VAR}, quotes and backslashes arrive unchanged', async () => {
    const yaml = `environment:\n  A: '\${HOME} $X'\n  B: '"quoted"'\n  C: 'back\\slash \\n'\n`;
    expect(await envOf({ 'ol.yaml': yaml }, ['A', 'B', 'C'])).toEqual({
      A: '${HOME} $X',
      B: '"quoted"',
      C: 'back\\slash \\n',
    });
  });

  test("the archive's .env applies when ol.yaml has no environment", async () => {
    expect(await envOf({ '.env': 'OWN=file\n' }, ['OWN'])).toEqual({ OWN: 'file' });
  });

  test("ol.yaml's environment replaces the archive's .env", async () => {
    const files = { '.env': 'OWN=file\n', 'ol.yaml': 'environment:\n  A: x\n' };
    expect(await envOf(files, ['OWN', 'A'])).toEqual({ OWN: null, A: 'x' });
  });

  test('the environment is written to <code>/.env, which handlers can read', async () => {
    const code = 'def f(event):\n    return open("/handler/.env").read()\n';
    const name = await deploy({ 'f.py': code, 'ol.yaml': 'environment:\n  A: x\n' });
    expect((await worker.invoke(name)).body).toMatch(/A='?x'?/);
  });

  test("the host's environment is not inherited", async () => {
    const names = JSON.parse((await worker.invoke(await deploy({}))).body) as string[];
    for (const mine of ['SUDO_UID', 'LOGNAME', 'MAIL', 'JEST_WORKER_ID', 'NODE_ENV']) expect(names).not.toContain(mine);
  });

  test('OL_ENTRY_FILE names the entry file', async () => {
    const files = {
      'main.py': 'def f(event):\n    return "main"\n',
      'ol.yaml': 'environment:\n  OL_ENTRY_FILE: main.py\n',
    };
    expect(await worker.invoke(await deploy(files))).toMatchObject({ status: 200, body: '"main"' });
  });

  test.each(['../x.py', 'sub/x.py', 'x.txt'])('OL_ENTRY_FILE %s is refused: only top-level *.py', async (file) => {
    const name = await worker.place('entry', { 'ol.yaml': `environment:\n  OL_ENTRY_FILE: ${file}\n` });
    expect(await worker.invoke(name)).toMatchObject({ status: 500 });
  });

  test('the entry is OL_WSGI_ENTRY, else OL_ASGI_ENTRY, else f, else app', async () => {
    const code = `def f(event):
    return "f"

async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"asgi"})

def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return [b"wsgi"]
`;
    const of = async (more: string, yaml: string) =>
      (await worker.invoke(await deploy({ 'f.py': code + more, ...(yaml === '' ? {} : { 'ol.yaml': yaml }) }))).body;
    const both = 'environment:\n  OL_WSGI_ENTRY: wsgi\n  OL_ASGI_ENTRY: asgi\n';
    expect(await of('', both)).toBe('wsgi');
    expect(await of('', 'environment:\n  OL_ASGI_ENTRY: asgi\n')).toBe('asgi');
    expect(await of('\napp = asgi\n', '')).toBe('"f"');
    expect(await of('\ndel f\napp = wsgi\n', '')).toBe('wsgi');
  });

  argyleTest('an app that is an async function is ASGI', async () => {
    const code = `async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["type"].encode()})
`;
    expect(await worker.invoke(await deploy({ 'f.py': code }))).toMatchObject({ status: 200, body: 'http' });
  });

  test('an app whose class has an async __call__ is ASGI', async () => {
    const code = `class App:
    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": scope["type"].encode()})

app = App()
`;
    expect(await worker.invoke(await deploy({ 'f.py': code }))).toMatchObject({ status: 200, body: 'http' });
  });

  argyleTest('reuse-sandbox: false gives each call a fresh sandbox', async () => {
    const name = await worker.deploy('fresh', 'fresh');
    const replies = [await worker.invoke(name), await worker.invoke(name), await worker.invoke(name)];
    expect(new Set(replies.map(({ body }) => body)).size).toBe(1);
    expect(replies[0]?.status).toBe(200);
  });

  argyleTest.each([
    ['empty', '', /EOF/],
    ['comment-only', '# nothing\n', /EOF/],
    ['with duplicate keys', 'reuse-sandbox: true\nreuse-sandbox: false\n', /unique/],
    ['with a list where a mapping belongs', 'environment: [a]\n', /environment must be a mapping/],
    ['with broken syntax', 'a: [1\n', /ol\.yaml/],
  ])('a file %s is an error at the upload', async (_what, yaml, message) => {
    const reply = await worker.upload(worker.name(`bad-yaml-${++serial}`), { 'f.py': ENV, 'ol.yaml': yaml });
    expect(reply.status).toBe(500);
    expect(reply.body).toMatch(/^Failed to add lambda: failed to parse ol\.yaml: /);
    expect(reply.body).toMatch(message);
  });

  argyleTest('limits of ol.yaml apply: memory', async () => {
    const code = 'def f(event):\n    return len(bytes(100 * 1024 * 1024))\n';
    const name = await deploy({ 'f.py': code, 'ol.yaml': 'limits:\n  mem_mb: 200\n' });
    expect(await worker.invoke(name)).toMatchObject({ status: 200, body: String(100 * 1024 * 1024) });
    expect((await worker.call('/debug')).body).toContain('of 200 MB\n');
  });

  argyleTest('limits of ol.yaml apply: processes', async () => {
    const code = `import threading, time

def f(event):
    made = 0
    try:
        for _ in range(20):
            threading.Thread(target=time.sleep, args=(0.5,), daemon=True).start()
            made += 1
    except RuntimeError:
        pass
    return made
`;
    const few = await worker.invoke(await deploy({ 'f.py': code, 'ol.yaml': 'limits:\n  procs: 6\n' }));
    const many = await worker.invoke(await deploy({ 'f.py': code, 'ol.yaml': 'limits:\n  procs: 60\n' }));
    expect(Number(few.body)).toBeLessThan(6);
    expect(many.body).toBe('20');
  });
}
