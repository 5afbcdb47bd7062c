import { createHash } from 'node:crypto';
import * as http from 'node:http';
import { createConnection } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { HASH, MIRROR, PROXY } from '../../../support/lambdas';
import type { TestWorker } from '../../../support/in-process-worker';
import { exchange } from '../../../support/raw-http';
import { call, startWorker } from '../../../support/in-process-worker';
import { until } from '../../../support/until';

type Mirrored = [method: string, path: string, headers: [string, string][], body: string];

function mirrored(text: string): Mirrored {
  return JSON.parse(text) as Mirrored;
}

describe('/run as a proxy', () => {
  let worker: TestWorker;
  beforeAll(async () => {
    worker = await startWorker();
    await worker.deploy('mirror', { 'f.py': MIRROR });
    await worker.deploy('proxy', { 'f.py': PROXY });
    await worker.deploy('hash', { 'f.py': HASH });
  });
  afterAll(() => worker.close());

  test('forwards method, raw target, headers and body; the name is the first decoded segment', async () => {
    const target = '/run/mirr%6Fr/a%2Fb/../%2e?x=%20&y=1';
    const { body } = await call(worker, '/run/mirr%6Fr/a%2Fb/%2e?x=%20&y=1', {
      method: 'PATCH',
      headers: { 'X-One': ['1', '2'], Host: 'elsewhere' },
      body: 'hi',
    });
    const [method, path, headers, sent] = mirrored(body);
    expect([method, path, sent]).toEqual(['PATCH', '/run/mirr%6Fr/a%2Fb/%2e?x=%20&y=1', 'hi']);
    expect(headers.filter(([name]) => name === 'X-One')).toEqual([
      ['X-One', '1'],
      ['X-One', '2'],
    ]);
    expect(headers.filter(([name]) => name.toLowerCase() === 'host')).toEqual([['host', 'elsewhere']]);
    expect((await call(worker, target)).status).toBe(301);
  });

  test('adds User-Agent and Accept-Encoding as Go does, and removes hop-by-hop headers', async () => {
    const text = await exchange(
      '127.0.0.1',
      worker.listener.port,
      'GET /run/mirror/ HTTP/1.1\r\nHost: x\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\nKeep-Alive: 1\r\n' +
        'Upgrade: h2c\r\nProxy-Connection: x\r\nX-Kept: 1\r\n\r\n',
    );
    const [, , headers] = mirrored(text.slice(text.indexOf('\r\n\r\n') + 4));
    const names = headers.map(([name]) => name.toLowerCase()).filter((name) => name !== 'connection');
    const told = ['for', 'proto', 'host', 'prefix'].map((what) => `x-forwarded-${what}`);
    expect(names).toEqual(['host', 'x-kept', ...told, 'x-request-id', 'forwarded', 'user-agent', 'accept-encoding']);
    expect(Object.fromEntries(headers)).toMatchObject({
      'User-Agent': 'Go-http-client/1.1',
      'Accept-Encoding': 'gzip',
    });
  });

  test("keeps the client's own User-Agent and Accept-Encoding", async () => {
    const own = { 'User-Agent': 'mine', 'Accept-Encoding': 'br' };
    const [, , headers] = mirrored((await call(worker, '/run/mirror', { headers: own })).body);
    expect(Object.fromEntries(headers)).toMatchObject(own);
  });

  test('passes chunked request bodies completely', async () => {
    const [, , , sent] = mirrored(
      await new Promise<string>((resolve, reject) => {
        const target = { host: '127.0.0.1', port: worker.listener.port, path: '/run/mirror', method: 'POST' };
        const request = http.request(target, (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => (text += chunk.toString()));
          response.on('end', () => {
            resolve(text);
          });
        });
        request.on('error', reject);
        request.write('one,');
        setTimeout(() => request.end('two'), 50);
      }),
    );
    expect(sent).toBe('one,two');
  });

  test('returns status, reason and duplicate headers, without hop-by-hop and internal headers', async () => {
    const reply = await exchange(
      '127.0.0.1',
      worker.listener.port,
      'GET /run/proxy/dups HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    );
    expect(reply).toMatch(/^HTTP\/1\.1 201 Made Up\r\n/);
    expect(reply).toMatch(/Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n/);
    expect(reply).not.toMatch(/x-hop|x-argyle-boot|keep-alive: 5/i);
  });

  test('decodes gzip that only the worker requested, and passes on gzip that the client requested', async () => {
    const plain = await call(worker, '/run/proxy/gzip');
    expect(plain.body).toBe('squeezed'.repeat(1000));
    expect(plain.headers).not.toHaveProperty('content-encoding');
    expect(plain.headers).not.toHaveProperty('content-length');
    const asked = await call(worker, '/run/proxy/gzip', { headers: { 'Accept-Encoding': 'gzip' } });
    expect(asked.headers['content-encoding']).toBe('gzip');
    expect(asked.headers['content-length']).toBe(String(gzipSync(Buffer.from('squeezed'.repeat(1000))).length));
  });

  test('argyle.function_host "root" shows functions the Host of the original', async () => {
    const original = await startWorker({ functionHost: 'root' });
    await original.deploy('mirror', { 'f.py': MIRROR });
    const [, , headers] = mirrored((await call(original, '/run/mirror', { headers: { Host: 'a' } })).body);
    await original.close();
    expect(Object.fromEntries(headers.map(([key, value]) => [key.toLowerCase(), value]))).toMatchObject({
      host: 'root',
      'x-forwarded-host': 'a',
    });
  });

  test('passes HEAD and OPTIONS to the function', async () => {
    const head = await call(worker, '/run/mirror', { method: 'HEAD' });
    expect([head.status, head.body]).toEqual([200, '']);
    expect(Number(head.headers['content-length'])).toBeGreaterThan(0);
    expect(mirrored((await call(worker, '/run/mirror', { method: 'OPTIONS' })).body)[0]).toBe('OPTIONS');
  });

  test('passes redirects to other places to the client', async () => {
    const reply = await call(worker, '/run/proxy/redirect');
    expect([reply.status, reply.headers.location]).toEqual([302, '/status']);
    const root = await call(worker, '/run/proxy/to?301?http://root/status');
    expect([root.status, root.headers.location]).toEqual([301, `${worker.url}/status`]);
  });

  test('follows redirects within the function', async () => {
    const reply = await call(worker, '/run/proxy/to?302?http://root/run/proxy/ok');
    expect([reply.status, reply.body]).toEqual([200, 'ok']);
    const through = await call(worker, '/run/proxy/to?302?/run/proxy/to?302?/run/proxy/ok');
    expect([through.status, through.body]).toEqual([200, 'ok']);
  });

  test('sends events as soon as they are produced', async () => {
    const times: number[] = [];
    await new Promise<void>((resolve, reject) => {
      http
        .get(`${worker.url}/run/proxy/events`, (response) => {
          response.on('data', () => times.push(performance.now()));
          response.on('end', resolve);
        })
        .on('error', reject);
    });
    expect(times.length).toBeGreaterThanOrEqual(3);
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(200);
  });

  test('passes 100 MB in both directions with constant memory', async () => {
    const size = 100 << 20;
    const chunk = Buffer.alloc(1 << 20, 7);
    let peak = 0;
    const before = process.memoryUsage().rss;
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 10);
    const digest = createHash('sha256');
    for (let i = 0; i < 100; i++) digest.update(chunk);
    const body = await new Promise<string>((resolve, reject) => {
      const target = { host: '127.0.0.1', port: worker.listener.port, path: '/run/hash', method: 'POST' };
      const request = http.request(target, (response) => {
        let text = '';
        response.on('data', (part: Buffer) => (text += part.toString()));
        response.on('end', () => {
          resolve(text);
        });
      });
      request.on('error', reject);
      Readable.from(Array.from({ length: 100 }, () => chunk)).pipe(request);
    });
    expect(body).toBe(`${size} ${digest.digest('hex')}`);
    let received = 0;
    await new Promise<void>((resolve, reject) => {
      http
        .get(`${worker.url}/run/proxy/big`, (response) => {
          response.on('data', (part: Buffer) => {
            received += part.length;
            // A slow reader: the sandbox must wait, and the worker's memory must not grow.
            if (received % (8 << 20) < part.length) {
              response.pause();
              setTimeout(() => response.resume(), 10);
            }
          });
          response.on('end', resolve);
        })
        .on('error', reject);
    });
    clearInterval(watch);
    expect(received).toBe(size);
    // Both ends of both streams are in this process. The growth must be far below the size of one body.
    expect(peak - before).toBeLessThan(80 << 20);
  }, 30_000);

  test('gives a slow sender of a small body no sandbox', async () => {
    const socket = createConnection(worker.listener.port, '127.0.0.1');
    socket.write('POST /run/mirror HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nab');
    await sleep(100);
    expect(worker.manager.counts.busy).toBe(0);
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.write('cd');
    await until('answer', () => text.includes('"abcd"]'));
    socket.destroy();
  });

  test('keeps connections alive between requests', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<number | undefined>();
    for (let i = 0; i < 3; i++) {
      await new Promise<void>((resolve, reject) => {
        http
          .get(`${worker.url}/run/proxy/ok`, { agent }, (response) => {
            ports.add(response.socket.localPort);
            response.resume().on('end', resolve);
          })
          .on('error', reject);
      });
    }
    agent.destroy();
    expect(ports.size).toBe(1);
  });
});
