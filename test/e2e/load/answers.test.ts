/**
 * Hostile answers of real guests against a real worker. ARGYLE_FUZZ_ANSWERS sets the number of generated answers (`make
 * fuzz`: 100,000). ARGYLE_FUZZ_SEED repeats a run.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { request } from 'undici';
import { deploy, invoke } from '../../support/deploy';
import { E2eWorker } from '../../support/spawned-worker';
import { Guest } from '../../support/guest/guest';
import { Attacker } from '../../support/hostile/attack';
import { fuzz } from '../../support/hostile/fuzz';
import type { HostileAnswer } from '../../support/hostile/grammar';
import { quantile } from '../../support/load';
import { describePrivileged } from '../../support/privileged';

const VM = process.env['ARGYLE_VM'] === '1';
const COUNT = Number(process.env['ARGYLE_FUZZ_ANSWERS'] ?? (VM ? '40' : '2000'));
const SEED = Number(process.env['ARGYLE_FUZZ_SEED'] ?? Date.now() % 1_000_000_000);
const AT_ONCE = 8;
/** Number of an answer that does not count as a case. */
const NO_CASE = 99_999_999;
/** Longest answer time of /status, in ms. */
const STATUS_MS = VM ? 2000 : 100;
const SUPPORT = join(__dirname, '../../support/hostile');

jest.setTimeout(120_000 + COUNT * (VM ? 500 : 50));

const WSGI = `def app(environ, start_response):
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    start_response("404 Page non trouv\\xe9e" if path == "/lost" else "200 OK", headers)
    return iter([b"part one", b"part two"]) if path == "/parts" else [b"hi"]
`;

/** Records the answers of a real guest, byte for byte. */
async function record(): Promise<Buffer[]> {
  const guest = await Guest.leaf(WSGI, { env: { OL_ENTRY_FILE: 'f.py', OL_WSGI_ENTRY: 'app' } });
  const answers: Buffer[] = [];
  await guest.request();
  for (const line of ['GET /run/echo/', 'GET /run/echo/lost', 'GET /run/echo/parts', 'HEAD /run/echo/', 'BAD']) {
    answers.push(Buffer.from(await guest.raw(`${line} HTTP/1.1\r\nHost: root\r\n\r\n`), 'latin1'));
  }
  await guest.stop();
  return answers;
}

interface Seen {
  statusMs: number[];
  ownMs: number[];
  echoes: number;
  wrong: string[];
}

/** Watches the worker from a separate process. @returns a function that ends the watch */
function watch(url: string, pid: number): () => Promise<Seen> {
  const child = spawn(process.execPath, [join(SUPPORT, 'watcher.mjs'), url, String(pid)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  return async () => {
    child.stdin.end();
    return JSON.parse(await text(child.stdout)) as Seen;
  };
}

describePrivileged('hostile answers', () => {
  let worker: E2eWorker;
  const attackers: Attacker[] = [];
  let pid: number;

  beforeAll(async () => {
    worker = new E2eWorker({ config: { log_output: true, limits: { runtime_sec: VM ? 20 : 3 } } });
    await worker.init();
    await worker.up();
    pid = worker.pid();
    await deploy(worker.url, 'echo');
    const source = readFileSync(join(SUPPORT, 'f.py'), 'utf8');
    // Each attacker is a function of its own, so that none waits for another's sandboxes.
    for (let i = 0; i < AT_ONCE; i++) {
      await deploy(worker.url, { 'f.py': source }, `hostile${i}`);
      attackers.push(new Attacker(worker.url, `hostile${i}`));
    }
    await deploy(worker.url, { 'f.py': WSGI, 'ol.yaml': 'environment:\n  OL_WSGI_ENTRY: app\n' }, 'wsgi');
  });
  afterAll(async () => {
    for (const attacker of attackers) attacker.close();
    await worker.remove();
  });

  const one = (bytes: string, more: Partial<HostileAnswer> = {}) => {
    const answer = { bytes: Buffer.from(bytes, 'latin1'), cuts: [], then: 'close', method: 'POST', trailing: false };
    return (attackers[0] as Attacker).play(NO_CASE, { ...answer, ...more } as HostileAnswer);
  };

  it('an answer whose reason phrase is not ASCII is passed on', async () => {
    const answer = await invoke(worker.url, 'wsgi/lost');
    expect(answer).toMatchObject({ status: 404, body: 'hi' });
    expect(await one('HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nhi')).toMatchObject({ status: 200 });
    expect((await invoke(worker.url, 'echo', 1)).body.trim()).toBe('1');
    expect(worker.pid()).toBe(pid);
  });

  it('a client gets the whole answer of a guest that closes before it has read the request', async () => {
    const raw = readFileSync(join(SUPPORT, 'f.py'), 'utf8').replace(
      /\ndef f\(event\):[^]*/,
      `
class App:
    def __call__(self, environ, start_response):
        sock = connection()
        listener = socket.socket(fileno=4)
        listener.setblocking(True)
        while True:
            sock.setblocking(True)
            sock.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\nhi")
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()
            sock, _ = listener.accept()
            sock.recv(1000)

app = App()
`,
    );
    await deploy(worker.url, { 'f.py': raw }, 'unread');
    const wrong: string[] = [];
    const sender = async (path: string, method: 'HEAD' | 'POST', count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        const body = new Uint8Array(1 << 20);
        const answer = await request(`${worker.url}/run/${path}`, { method, body });
        const text = await answer.body.text();
        if (answer.statusCode !== 200 || (method === 'POST' && text !== 'hi')) wrong.push(`${path}: ${text}`);
      }
    };
    await Promise.all([sender('wsgi', 'HEAD', 40), sender('wsgi', 'HEAD', 40), sender('unread', 'POST', 20)]);
    expect(wrong).toEqual([]);
  });

  it.each<[string, string]>([
    ['interim answers', "b'HTTP/1.1 103 Early Hints\\r\\nLink: x\\r\\n\\r\\n' * 1500"],
    ['a status line', "b'a' * 65536"],
    ['chunk extensions', "b'a' * 65536"],
    ['empty lines', "b'\\r\\n' * 32768"],
  ])('an endless flood of %s is cut off before limits.runtime_sec', async (what, bytes) => {
    const begin = {
      'a status line': "b'HTTP/1.1 200 '",
      'chunk extensions': "b'HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n1;'",
    }[what];
    const source = readFileSync(join(SUPPORT, 'f.py'), 'utf8').replace(
      /\ndef f\(event\):[^]*/,
      `\ndef f(event):\n    sock = connection()\n    sock.setblocking(True)\n    sock.sendall(${begin ?? "b''"})\n` +
        `    while True:\n        sock.sendall(${bytes})\n`,
    );
    const name = `flood-${what.replaceAll(' ', '-')}`;
    await deploy(worker.url, { 'f.py': source }, name);
    const startMs = performance.now();
    const sent = invoke(worker.url, name, {});
    // The response has begun, so it ends without its last chunk.
    if (what === 'chunk extensions') await expect(sent).rejects.toThrow('terminated');
    const answer = await sent.catch(() => undefined);
    expect(performance.now() - startMs).toBeLessThan(VM ? 15_000 : 1500);
    if (what !== 'chunk extensions')
      expect(answer?.body).toMatch(/no valid HTTP: (more than 5 interim answers|it sends bytes that add nothing)/);
  });

  it(`the worker survives ${COUNT} answers (seed ${SEED}), and each client gets a valid response`, async () => {
    const recordings = await record();
    expect(recordings.every((bytes) => bytes.includes('HTTP/1.1 '))).toBe(true);
    const stop = watch(worker.url, pid);
    const startMs = performance.now();
    const log = join(worker.dir, 'worker.out');
    const { wrong, ...result } = await fuzz({ count: COUNT, seed: SEED, log, attackers, recordings });
    const seconds = Math.round((performance.now() - startMs) / 1000);
    const { statusMs, ownMs, echoes, wrong: others } = await stop();
    const shares = (times: number[]): number[] =>
      [0.5, 0.95, 0.99, 1].map((share) => Math.round(quantile(times, share)));
    const [status, own] = [shares(statusMs), shares(ownMs)];
    process.stdout.write(`${JSON.stringify({ ...result, seconds, echoes, status, own, seed: SEED })}\n`);
    expect(wrong.slice(0, 10)).toEqual([]);
    expect(others.slice(0, 10)).toEqual([]);
    expect(echoes).toBeGreaterThan(10);
    expect(result.honest).toBeGreaterThan(COUNT / 10);
    expect(result.final).toBeGreaterThan(COUNT / 100);
    // The time in which watcher and worker waited for a processor is subtracted, because attackers and guests use the
    // same processors.
    expect(quantile(ownMs, 0.99)).toBeLessThan(STATUS_MS);
    expect(worker.pid()).toBe(pid);
    expect((await fetch(`${worker.url}/status`)).status).toBe(200);
  });
});
