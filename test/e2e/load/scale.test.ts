/** `scale` and `concurrency` of ol.yaml, with real sandboxes. */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { deploy, invoke, packLambda, upload } from '../../support/deploy';
import { E2eWorker } from '../../support/spawned-worker';
import { Load, quantile } from '../../support/load';
import { precede } from '../../support/precedence';
import { describePrivileged } from '../../support/privileged';
import { pypiReached } from '../../support/pypi';
import { guestPids } from '../../support/reports';
import { until } from '../../support/until';

jest.setTimeout(120_000);

const VM = process.env['ARGYLE_VM'] === '1';

/**
 * The application answers with its process id and the number of its simultaneous requests. /hang and /block do not end.
 */
const APP = `
import asyncio, os, time
now = most = cancelled = 0

async def app(scope, receive, send):
    global now, most, cancelled
    if scope["type"] != "http":
        raise NotImplementedError
    path = scope["path"].removeprefix(scope["root_path"])
    now += 1
    most = max(most, now)
    try:
        if path == "/hang":
            await asyncio.sleep(60)
        if path == "/block":
            time.sleep(60)
        if path == "/size":
            size, more = 0, True
            while more:
                message = await receive()
                size += len(message["body"])
                more = message["more_body"]
            await send({"type": "http.response.start", "status": 200, "headers": []})
            return await send({"type": "http.response.body", "body": b"%d" % size})
        if path == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ValueError("half")
        await asyncio.sleep(1 if path == "/slow" else 0.1)
    except asyncio.CancelledError:
        cancelled += 1
        raise
    finally:
        now -= 1
    text = f"{os.getpid()} {id(app)} {most} {cancelled}"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
`;
/** The same with FastAPI. It waits 100 ms, as for an upstream server, and answers with its process id. */
const FASTAPI = `
import asyncio, os
from fastapi import FastAPI

app = FastAPI()

@app.post("/")
async def root():
    await asyncio.sleep(0.1)
    return {"pid": os.getpid(), "app": id(app)}
`;
const SLEEPER = 'import time\ndef f(event):\n    time.sleep(event.get("s", 0))\n    return 1\n';

describePrivileged('instances by ol.yaml', () => {
  const worker = new E2eWorker({ config: { registry_cache_ms: 300, limits: { runtime_sec: 3 } } });
  beforeAll(async () => {
    await worker.init();
    await worker.up();
  });
  afterAll(() => worker.remove());

  const app = (name: string, yaml: string): Promise<string> =>
    deploy(worker.url, { 'f.py': APP, 'ol.yaml': yaml }, name);
  const many = (count: number, path: string) =>
    Promise.all(Array.from({ length: count }, () => invoke(worker.url, path)));
  /** Host pids of the first processes of a function's instances. */
  const instances = (name: string): Promise<number[]> => guestPids(worker.url, name);

  test('several requests run concurrently in one instance, which freezes after the last one', async () => {
    await app('many', 'concurrency: 20\nscale: {max: 1}\n');
    await invoke(worker.url, 'many');
    // Calls of a second overlap even on a busy machine.
    const replies = await many(40, 'many/slow');
    expect(replies.map(({ status }) => status)).toEqual(Array(40).fill(200));
    expect(new Set(replies.map(({ body }) => body.split(' ')[1])).size).toBe(1);
    expect(Math.max(...replies.map(({ body }) => Number(body.split(' ')[2])))).toBe(20);
    // The instance was frozen after the last call, and is thawed for the next one.
    await sleep(200);
    expect((await invoke(worker.url, 'many')).body.split(' ')[1]).toBe(replies[0]?.body.split(' ')[1]);
  });

  test('large bodies are read whole, and no task waits for bytes that another task has read', async () => {
    await app('large', 'concurrency: 2\n');
    const bodies: string[] = [];
    // The guest waits between the parts, so that many bytes arrive while it does.
    async function* parts() {
      for (let i = 0; i < 16; i++) {
        yield Buffer.alloc(1 << 16);
        await sleep(0);
      }
    }
    const sender = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) {
        const answer = await request(`${worker.url}/run/large/size`, { method: 'POST', body: Readable.from(parts()) });
        bodies.push(await answer.body.text());
      }
    };
    await Promise.all([sender(), sender(), sender()]);
    expect(bodies.filter((body) => body !== String(1 << 20))).toEqual([]);
  });

  test('a client that disconnects cancels only its own request', async () => {
    await app('leave', 'concurrency: 10\nscale: {max: 1}\n');
    await invoke(worker.url, 'leave');
    const gone = new AbortController();
    const left = invoke(worker.url, 'leave/hang', undefined, { signal: gone.signal }).catch(() => 'left');
    const slow = many(3, 'leave/slow');
    await sleep(200);
    gone.abort();
    expect(await left).toBe('left');
    const replies = await slow;
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200]);
    await sleep(700);
    const last = (await many(2, 'leave/slow'))[0];
    expect(last?.body.split(' ').slice(1, 2)).toEqual(replies[0]?.body.split(' ').slice(1, 2));
    expect(last?.body.split(' ')[3]).toBe('1');
  });

  test('other requests of an instance complete after one hangs; the next gets a new instance', async () => {
    await app('hang', 'concurrency: 10\nlimits: {runtime_sec: 2}\n');
    const before = await invoke(worker.url, 'hang');
    const hung = invoke(worker.url, 'hang/hang');
    await sleep(1300);
    const others = many(3, 'hang/slow');
    expect((await hung).status).toBe(502);
    const after = await invoke(worker.url, 'hang');
    const replies = await others;
    expect([...replies, after].map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect(new Set(replies.map(({ body }) => body.split(' ')[1])).size).toBe(1);
    expect(after.body.split(' ')[2]).toBe('1');
    expect(before.status).toBe(200);
  });

  test('an incomplete answer fails only for its client', async () => {
    await app('half', 'concurrency: 10\n');
    await invoke(worker.url, 'half');
    const slow = many(2, 'half/slow');
    await sleep(100);
    await expect(invoke(worker.url, 'half/half')).rejects.toThrow('terminated');
    expect((await slow).map(({ status }) => status)).toEqual([200, 200]);
  });

  /** Calls a function 400 times per second for some seconds. All answers must be 200. @returns their bodies and times */
  const flood = async (name: string, ms: number) => {
    const call = () => ({ url: `${worker.url}/run/${name}`, body: '' });
    // With few connections, calls would queue in the client, and the worker's scaling would not see them.
    const load = new Load({ perSecond: 400, call, connections: 400 }).start();
    await sleep(ms);
    const outcomes = await load.stop();
    expect(outcomes.filter(({ status }) => status !== 200)).toEqual([]);
    return outcomes;
  };

  test('400 requests per second that wait 100 ms each need at most three instances', async () => {
    if (VM) return;
    await app('flood', 'concurrency: 50\nscale: {max: 3}\nlimits: {mem_mb: 100}\n');
    await invoke(worker.url, 'flood');
    const outcomes = await flood('flood', 3000);
    expect(outcomes.length).toBeGreaterThan(1000);
    expect(new Set(outcomes.map(({ body }) => body.split(' ')[1])).size).toBeLessThanOrEqual(3);
  });

  const withPypi = !VM && pypiReached() ? test : test.skip;

  withPypi('[optional] the same with FastAPI of the package index', async () => {
    precede(worker);
    const yaml = 'concurrency: 50\nscale: {max: 3}\nlimits: {mem_mb: 200, procs: 32}\n';
    await deploy(worker.url, { 'f.py': FASTAPI, 'requirements.txt': 'fastapi\n', 'ol.yaml': yaml }, 'fast');
    const first = await invoke(worker.url, 'fast');
    expect([first.status, first.body]).toEqual([200, expect.stringMatching(/^\{"pid":\d+,"app":\d+\}$/)]);
    const beginMs = performance.now();
    const outcomes = await flood('fast', 5000);
    const perSec = outcomes.length / ((performance.now() - beginMs) / 1000);
    const instances = new Set(outcomes.map(({ body }) => body)).size;
    expect(outcomes.length).toBeGreaterThan(1800);
    expect(instances).toBeLessThanOrEqual(3);
    // The rate and the times depend on the load of the machine, so they are printed only.
    const after = outcomes.filter(({ n }) => n >= 400).map(({ ms }) => ms);
    const [p50, p99] = [quantile(after, 0.5), quantile(after, 0.99)].map((ms) => ms.toFixed(0));
    process.stdout.write(
      `FastAPI: ${outcomes.length} calls, ${perSec.toFixed(0)} per second to the last answer, ` +
        `${instances} instances; p50 ${p50}, p99 ${p99} ms after the first second\n`,
    );
  });

  test('a function that is not an ASGI application is refused at the upload or by its first answer', async () => {
    const put = async (files: Record<string, string>) =>
      upload(worker.url, 'refused', await packLambda({ 'ol.yaml': 'concurrency: 5\n', ...files }));
    const plain = await put({ 'f.py': SLEEPER });
    expect([plain.status, plain.body]).toEqual([
      500,
      expect.stringMatching(/concurrency is 5, but f\.py holds a function/),
    ]);
    await deploy(
      worker.url,
      { 'f.py': 'class W:\n    def __call__(self, e, s): pass\napp = W()\n', 'ol.yaml': 'concurrency: 5\n' },
      'wsgi',
    );
    const called = await many(3, 'wsgi');
    for (const { status, body } of called) {
      expect(status).toBe(502);
      expect(body).toContain('concurrency is 5 in ol.yaml, but only an ASGI application');
    }
  });

  test('scale.max limits the instances, and further calls wait', async () => {
    await deploy(worker.url, { 'f.py': SLEEPER, 'ol.yaml': 'scale: {max: 2}\n' }, 'most');
    const begin = performance.now();
    const replies = Promise.all(Array.from({ length: 6 }, () => invoke(worker.url, 'most', { s: 0.3 })));
    await sleep(500);
    expect(await instances('most')).toHaveLength(2);
    expect((await replies).map(({ status }) => status)).toEqual(Array(6).fill(200));
    expect(performance.now() - begin).toBeGreaterThan(890);
  });

  test('scale.min instances exist before the first call, after deaths and after a restart', async () => {
    const warm = async (count: number): Promise<void> => {
      await until(`${count} instances`, async () => (await instances('least')).length === count, 20_000);
    };
    await deploy(worker.url, { 'f.py': SLEEPER, 'ol.yaml': 'scale: {min: 2}\n' }, 'least');
    await warm(2);
    const reply = await invoke(worker.url, 'least');
    expect([reply.status, reply.headers.get('server-timing')]).toEqual([
      200,
      expect.not.stringMatching(/cold|fork|fresh|spare/),
    ]);
    const before = await instances('least');
    for (const pid of before) process.kill(pid, 'SIGKILL');
    await until('others', async () => (await instances('least')).every((pid) => !before.includes(pid)));
    await warm(2);
    // The names are saved once per second.
    await sleep(1200);
    await worker.down();
    await worker.up();
    await warm(2);
  });
});
