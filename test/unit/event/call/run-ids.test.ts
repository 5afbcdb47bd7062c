/** The id of a call and its Server-Timing, through a whole worker. */
import { MIRROR } from '../../../support/lambdas';
import { call, startWorker, type TestWorker } from '../../../support/in-process-worker';

/** A function that sets X-Request-Id and Server-Timing itself. */
const CLAIMS = `
def raw(h):
    h.send_response(200)
    for pair in [("X-Request-Id", "mine"), ("x-request-ID", "mine too"), ("Server-Timing", "db;dur=53"), ("Content-Length", "0")]:
        h.send_header(*pair)
    h.end_headers()
`;
const UUID = /^[0-9a-f-]{36}$/;
const TIMES =
  /^(?:code;dur=[\d.]+, )?queue;dur=[\d.]+, start;desc=[a-z-]+;dur=[\d.]+, (?:import;dur=[\d.]+, )?handler;dur=[\d.]+, total;dur=[\d.]+$/;

describe('a call', () => {
  let worker: TestWorker;
  const lines: object[] = [];
  beforeAll(async () => {
    worker = await startWorker({
      onWarn: (fields) => void lines.push(fields),
      adminToken: 't',
      access: { ownNames: [] },
    });
    await worker.deploy('mirror', { 'f.py': MIRROR });
    await worker.deploy('claims', { 'f.py': CLAIMS });
    await worker.deploy('dies', { 'f.py': 'import os\ndef f(event): os._exit(3)\n' });
  });
  afterAll(() => worker.close());
  beforeEach(() => {
    lines.length = 0;
  });

  const sentTo = (body: string, name: string): string[] =>
    (JSON.parse(body) as [string, string, [string, string][]])[2]
      .filter(([key]) => key.toLowerCase() === name)
      .map(([, value]) => value);

  test("has its client's id, in the function and in the answer", async () => {
    const reply = await call(worker, '/run/mirror', { headers: { 'x-request-ID': 'req.1' } });
    expect(reply.headers['x-request-id']).toBe('req.1');
    expect(sentTo(reply.body, 'x-request-id')).toEqual(['req.1']);
  });

  test.each([[undefined], ['no id'], [['a', 'b']], ['x'.repeat(200)]])(
    'gets a new id when its client sent %p',
    async (sent) => {
      const reply = await call(worker, '/run/mirror', { headers: sent === undefined ? {} : { 'X-Request-Id': sent } });
      const id = reply.headers['x-request-id'];
      expect(id).toMatch(UUID);
      expect(sentTo(reply.body, 'x-request-id')).toEqual([id]);
    },
  );

  test('passes traceparent and tracestate on unchanged', async () => {
    const headers = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'a=1,b=2' };
    const reply = await call(worker, '/run/mirror', { headers });
    expect(sentTo(reply.body, 'traceparent')).toEqual([headers.traceparent]);
    expect(sentTo(reply.body, 'tracestate')).toEqual([headers.tracestate]);
  });

  test("keeps its id despite the function's headers; the function's times precede the worker's", async () => {
    const reply = await call(worker, '/run/claims', { headers: { 'X-Request-Id': 'real' } });
    const values = (name: string): string[] =>
      reply.rawHeaders.filter((_, i, all) => i % 2 === 1 && all[i - 1]?.toLowerCase() === name);
    expect(values('x-request-id')).toEqual(['real']);
    expect(values('server-timing')).toEqual(['db;dur=53', expect.stringMatching(TIMES)]);
  });

  test('reports its times: a start in the first call, none in the second', async () => {
    await worker.deploy('twice', { 'f.py': 'def f(event): return 1\n' });
    const first = await call(worker, '/run/twice', { method: 'POST', body: '{}' });
    expect(first.headers['server-timing']).toMatch(TIMES);
    expect(first.headers['server-timing']).toMatch(/^code;dur=.*, start;desc=fresh;dur=[1-9]/);
    // Without a body, because a busy machine reports the wait for a body.
    const second = await call(worker, '/run/twice', { method: 'POST' });
    expect(second.headers['server-timing']).toMatch(/^queue;dur=[\d.]+, start;desc=(warm|unpause);/);
  });

  test("that fails has its id in the answer and in the log, and the contract's text", async () => {
    const reply = await call(worker, '/run/dies', { headers: { 'X-Request-Id': 'bad-1' } });
    expect([reply.status, reply.headers['x-request-id'], reply.headers['content-type']]).toEqual([
      502,
      'bad-1',
      'text/plain; charset=utf-8',
    ]);
    expect(reply.headers['server-timing']).toMatch(/start;desc=fresh/);
    expect(reply.body).toMatch(/^RoundTrip failed: /);
    expect(lines).toEqual([expect.objectContaining({ lambda: 'dies', request_id: 'bad-1', code: 'SANDBOX_DEAD' })]);
  });

  test.each([
    ['/run/none', 500, 'LAMBDA_NOT_FOUND'],
    ['/run/a%20b', 500, 'LAMBDA_NAME'],
  ])('%s that fails is a problem+json for a client that asks for it', async (path, status, code) => {
    const headers = { Accept: 'application/problem+json', 'X-Request-Id': 'p1' };
    const reply = await call(worker, path, { headers });
    expect(reply.headers['content-type']).toBe('application/problem+json');
    expect(JSON.parse(reply.body)).toMatchObject({ status, code, request_id: 'p1', type: `urn:argyle:error:${code}` });
    expect(reply.headers['x-argyle-error']).toBe(code);
  });

  test('that is refused has its id, too; other refusals have no id', async () => {
    const headers = { Host: 'evil.example.com', 'X-Request-Id': 'refused', Accept: 'application/problem+json' };
    const reply = await call(worker, '/run/mirror', { headers });
    expect([reply.status, reply.headers['x-request-id']]).toEqual([403, 'refused']);
    expect(JSON.parse(reply.body)).toMatchObject({ code: 'HOST_REFUSED', request_id: 'refused' });
    const other = await call(worker, '/stats', { headers });
    expect([other.status, other.headers['x-request-id']]).toEqual([403, undefined]);
  });
});

test("with argyle.server_timing off, an answer has only the function's times", async () => {
  const worker = await startWorker({ serverTiming: false });
  await worker.deploy('claims', { 'f.py': CLAIMS });
  const reply = await call(worker, '/run/claims');
  expect(reply.headers['server-timing']).toBe('db;dur=53');
  expect((await call(worker, '/run/none')).headers['server-timing']).toBeUndefined();
  await worker.close();
});

test('a call whose body arrives too slowly is refused with its id', async () => {
  const worker = await startWorker({ bodyRate: { windowSec: 1, windowKb: 32, openBodies: 0 } });
  await worker.deploy('mirror', { 'f.py': MIRROR });
  const headers = { 'Content-Length': '100', 'X-Request-Id': 'slow-1', Accept: 'application/problem+json' };
  const reply = await call(worker, '/run/mirror', { method: 'POST', headers, body: undefined as never });
  expect(JSON.parse(reply.body)).toMatchObject({ code: 'BODY_SLOW', request_id: 'slow-1' });
  expect(reply.headers['x-request-id']).toBe('slow-1');
  await worker.close();
}, 15_000);
