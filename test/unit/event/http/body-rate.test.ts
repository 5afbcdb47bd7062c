/** Slow bodies hold no sandbox and delay no other call. Fast bodies are streamed. */
import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { BODY_RATE, BodyWindow } from '../../../../src/event/http/body-rate';
import { HASH } from '../../../support/lambdas';
import { exchange } from '../../../support/raw-http';
import { until } from '../../../support/until';
import { call, startWorker, type TestWorker } from '../../../support/in-process-worker';

describe('BodyWindow', () => {
  const rate = { windowSec: 10, windowKb: 32 };
  /** Time until a body of this rate counts as too slow, in ms; undefined if it does not within an hour. */
  const lasts = (bytesPerSec: number, pausedMs = 0): number | undefined => {
    const window = new BodyWindow(0);
    for (let ms = 500; ms <= 3_600_000; ms += 500) {
      if (ms > pausedMs && window.passed(500, (ms / 1000) * bytesPerSec, rate)) return ms;
    }
    return undefined;
  };
  test.each([
    [0, 10_000],
    [3000, 10_000],
    [3300, undefined],
    [1e9, undefined],
  ])('%d bytes per second pass for %p ms', (bytesPerSec, ms) => {
    expect(lasts(bytesPerSec)).toBe(ms);
  });

  test('a body that was fast and then stalls fails one window later', () => {
    const window = new BodyWindow(0);
    for (let i = 0; i < 20; i++) expect(window.passed(500, 100e6, rate)).toBe(false);
    for (let i = 0; i < 19; i++) expect(window.passed(500, 100e6, rate)).toBe(false);
    expect(window.passed(500, 100e6, rate)).toBe(true);
  });
});

/** Answers after the first part of a body, without waiting for the rest. */
const FIRST = `
def raw(h):
    part = next(iter(h.chunks()))
    h.reply(200, "text/plain", b"got " + part)
`;

describe('a worker', () => {
  let worker: TestWorker;
  const sockets: Socket[] = [];
  beforeAll(async () => {
    worker = await startWorker({
      bodyRate: { windowSec: 1, windowKb: 32, openBodies: 1 },
      settings: { functionQueue: 50 },
    });
    await worker.deploy('echo', { 'f.py': 'def f(event): return event\n' });
    await worker.deploy('hash', { 'f.py': HASH });
    await worker.deploy('first', { 'f.py': FIRST });
    expect((await echo()).body).toBe('1');
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });
  afterAll(() => worker.close());

  const echo = () => call(worker, '/run/echo', { method: 'POST', body: '1' });

  /** Sends a header, and then one byte at a time, slowly. `answer` is the received text. */
  function dribble(head: string, drip: string): { answer: string; closed: boolean } {
    const state = { answer: '', closed: false };
    let timer: NodeJS.Timeout | undefined;
    const socket = connect(worker.listener.port, '127.0.0.1', () => {
      socket.write(head);
      timer = setInterval(() => socket.write(drip), 100);
    });
    sockets.push(socket);
    socket.setEncoding('latin1').on('data', (text: string) => (state.answer += text));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearInterval(timer);
      state.closed = true;
    });
    return state;
  }

  const CHUNKED = 'Host: x\r\nTransfer-Encoding: chunked\r\n\r\n';
  test.each([
    ['a chunked body', `POST /run/echo HTTP/1.1\r\n${CHUNKED}`, '1\r\n1\r\n'],
    ['a small body', 'POST /run/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n', '1'],
    ['a large body', 'POST /run/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 600000\r\n\r\n', '1'],
    ['a function by another spelling', `POST /run/%65cho HTTP/1.1\r\n${CHUNKED}`, '1\r\n1\r\n'],
    ['an upload', `POST /registry/up HTTP/1.1\r\n${CHUNKED}`, '1\r\n1\r\n'],
    ['a trigger', `POST /kafka-init/echo HTTP/1.1\r\n${CHUNKED}`, '1\r\n1\r\n'],
  ])('answers %s that arrives slowly with 408', async (_what, head, drip) => {
    const state = dribble(head, drip);
    await sleep(700);
    expect(state.answer).toBe('');
    expect(worker.manager.counts.busy).toBeLessThanOrEqual(1);
    await until('cut off', () => state.closed);
    expect(state.answer).toMatch(
      /^HTTP\/1\.1 408 [^]*X-Argyle-Error: BODY_SLOW[^]*\r\n\r\nthe request body arrives too slowly/,
    );
    expect(state.answer).toContain('Connection: close');
    await until('forgotten', () => worker.manager.counts.queued + worker.manager.counts.busy === 0);
  });

  test('cuts off a body that stalls while its function reads it, and ends the sandbox', async () => {
    const head = 'POST /run/hash HTTP/1.1\r\nHost: x\r\nContent-Length: 600000\r\n\r\n';
    const state = dribble(head + 'x'.repeat(100_000), '1');
    await until('streams', () => worker.manager.counts.busy === 1);
    await until('cut off', () => state.closed);
    expect(state.answer).toMatch(/^HTTP\/1\.1 408 /);
    await until('ended', () => worker.manager.counts.busy === 0);
  });

  test('gives 1,000 slow bodies only argyle.open_bodies sandboxes, and serves other calls', async () => {
    const begin = performance.now();
    const states = Array.from({ length: 1000 }, (_, i) => {
      const length = i % 2 === 0 ? CHUNKED : 'Host: x\r\nContent-Length: 60000\r\n\r\n';
      return dribble(`POST /run/echo HTTP/1.1\r\n${length}`, i % 2 === 0 ? '1\r\n1\r\n' : '1');
    });
    let echoes = 0;
    let held = 0;
    while (performance.now() - begin < 1500) {
      expect((await echo()).body).toBe('1');
      echoes++;
      held = Math.max(held, worker.manager.counts.busy);
    }
    expect(echoes).toBeGreaterThan(0);
    expect(held).toBeLessThanOrEqual(1);
    await until('all are cut off', () => states.every(({ closed }) => closed), 20_000);
    // A client that still sends while its connection is closed may lose the answer.
    const answers = states.map(({ answer }) => answer.slice(0, 12));
    expect(answers.filter((answer) => answer !== '' && answer !== 'HTTP/1.1 408')).toEqual([]);
    expect(answers.filter((answer) => answer !== '').length).toBeGreaterThan(500);
    expect((await echo()).body).toBe('1');
  }, 60_000);

  test("lets a function answer the first part before the next, and frees the body's place", async () => {
    for (let i = 0; i < 3; i++) {
      const text = await exchange(
        '127.0.0.1',
        worker.listener.port,
        `POST /run/first HTTP/1.1\r\nConnection: close\r\n${CHUNKED}5\r\nfirst\r\n`,
      );
      expect(text).toMatch(/^HTTP\/1\.1 200 [^]*got first$/);
      await until('over', () => worker.manager.counts.busy === 0);
    }
  });

  test.each([10, 65_535, 65_536, 65_537, 200_000, 20_000_000])(
    'accepts a fast chunked body of %d bytes',
    async (size) => {
      const body = randomBytes(size);
      const headers = { 'Transfer-Encoding': 'chunked' };
      for (const more of [headers, { 'Content-Length': size }]) {
        const reply = await call(worker, '/run/hash', { method: 'POST', body, headers: more });
        expect(reply.body).toBe(`${size} ${createHash('sha256').update(body).digest('hex')}`);
      }
    },
  );

  test('accepts a large body in pieces over many windows, and passes on its first bytes at once', async () => {
    const reply = new Promise<string>((resolve, reject) => {
      const headers = { 'Transfer-Encoding': 'chunked' };
      const options = { port: worker.listener.port, host: '127.0.0.1', path: '/run/hash', method: 'POST', headers };
      const req = request(options, (res) => {
        res.setEncoding('utf8').on('data', resolve);
      });
      req.on('error', reject);
      const send = async (): Promise<void> => {
        for (let i = 0; i < 25; i++) {
          req.write(Buffer.alloc(20_000, 'a'));
          await sleep(100);
          if (i === 10) expect(worker.manager.counts.busy).toBe(1);
        }
        req.end();
      };
      send().catch(reject);
    });
    expect(await reply).toMatch(/^500000 /);
  });

  test('drains an unread body, so that the connection serves the next request', async () => {
    const put = `POST /run/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n${'x'.repeat(300_000)}`;
    const state = dribble(`${put}GET /status HTTP/1.1\r\nHost: x\r\n\r\n`, '');
    await until('both are answered', () => state.answer.endsWith('ready\n'));
    expect(state.answer).toContain('not found in blob store');
  });

  test('accepts slow links with the default settings', () => {
    expect((BODY_RATE.windowKb * 1024) / BODY_RATE.windowSec).toBeLessThan(4000);
  });
});
