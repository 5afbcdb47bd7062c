/**
 * Hostile answers of real guests against a real worker. Generated ones are sent when ARGYLE_FUZZ_ANSWERS says how many
 * (`make fuzz`: 100,000); ARGYLE_FUZZ_SEED repeats a run.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import * as fc from 'fast-check';
import { deploy, invoke } from '../../support/deploy';
import { E2eWorker } from '../../support/e2e-worker';
import { Guest } from '../../support/guest/guest';
import { Attacker, judge } from '../../support/hostile/attack';
import { grammar, mutated, numbered, type HostileAnswer } from '../../support/hostile/grammar';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

const VM = process.env['ARGYLE_VM'] === '1';
const COUNT = Number(process.env['ARGYLE_FUZZ_ANSWERS'] ?? '0');
/** Its oracle still fails about one honest answer in 700 with ECONNRESET, for a reason that is not known. */
const fuzz = COUNT > 0 ? it : it.skip;
const SEED = Number(process.env['ARGYLE_FUZZ_SEED'] ?? Date.now() % 1_000_000_000);
const BATCH = 500;
const AT_ONCE = 8;
/** Number of an answer that is none of the counted ones. */
const NO_CASE = 99_999_999;
/** /status answers within this, ms. */
const STATUS_MS = VM ? 2000 : 100;
const SUPPORT = join(__dirname, '../../support/hostile');

jest.setTimeout(120_000 + COUNT * (VM ? 500 : 50));

const WSGI = `def app(environ, start_response):
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    start_response("404 Page non trouv\\xe9e" if path == "/lost" else "200 OK", headers)
    return iter([b"part one", b"part two"]) if path == "/parts" else [b"hi"]
`;

/** Answers of a real guest, byte for byte. */
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
  echoes: number;
  wrong: string[];
}

/** Watches the worker from a process of its own. @returns what ends it */
function watch(url: string): () => Promise<Seen> {
  const child = spawn(process.execPath, [join(SUPPORT, 'watcher.mjs'), url], { stdio: ['pipe', 'pipe', 'inherit'] });
  return async () => {
    child.stdin.end();
    return JSON.parse(await text(child.stdout)) as Seen;
  };
}

/** Bytes behind its end leave the guest in one write with it, so that no request can come between them. */
const lateless = ({ trailing, then, cuts, bytes }: HostileAnswer): boolean =>
  trailing && then === 'keep' && cuts.length === 0 && bytes.length < 4096;

const at = (sorted: readonly number[], share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;

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
    // One function for each attacker, so that none waits for another's sandboxes.
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

  it('an honest reason phrase outside ASCII costs nothing but itself', async () => {
    const answer = await invoke(worker.url, 'wsgi/lost');
    expect(answer).toMatchObject({ status: 404, body: 'hi' });
    expect(await one('HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nhi')).toMatchObject({ status: 200 });
    expect((await invoke(worker.url, 'echo', 1)).body.trim()).toBe('1');
    expect(worker.pid()).toBe(pid);
  });

  it.each<[string, string]>([
    ['interim answers', "b'HTTP/1.1 103 Early Hints\\r\\nLink: x\\r\\n\\r\\n' * 1500"],
    ['a status line', "b'a' * 65536"],
    ['chunk extensions', "b'a' * 65536"],
    ['empty lines', "b'\\r\\n' * 32768"],
  ])('an endless flood of %s is cut off, not served until its time is up', async (what, bytes) => {
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
    // Its response has begun by then, so it ends without its last chunk.
    if (what === 'chunk extensions') await expect(sent).rejects.toThrow('terminated');
    const answer = await sent.catch(() => undefined);
    expect(performance.now() - startMs).toBeLessThan(VM ? 15_000 : 1500);
    if (what !== 'chunk extensions')
      expect(answer?.body).toMatch(/no valid HTTP: (more than 5 interim answers|it sends bytes that add nothing)/);
  });

  fuzz(
    `[optional] ${COUNT} answers, seed ${SEED}: the worker lives, others are served, each client gets a valid response`,
    async () => {
      const recordings = await record();
      expect(recordings.every((bytes) => bytes.includes('HTTP/1.1 '))).toBe(true);
      const stop = watch(worker.url);
      const wrong: string[] = [];
      const counts: Record<string, number> = {};
      const last = new Map<number, string>();
      let honest = 0;
      for (let done = 0; done < COUNT; done += BATCH) {
        const size = Math.min(BATCH, COUNT - done);
        const kind = fc.oneof({ weight: 3, arbitrary: grammar() }, mutated(recordings));
        const sample = fc.sample(kind, { numRuns: size, seed: SEED + done });
        const cases = sample.map((answer, i) => ({ number: done + i, answer: numbered(done + i, answer) }));
        const next = cases[Symbol.iterator]();
        const run = async (attacker: Attacker): Promise<void> => {
          let clean = false;
          for (const { number, answer } of next) {
            const played = await attacker.play(number, answer);
            const why = judge(number, answer, played, clean);
            clean = answer.honest !== undefined;
            if (clean) honest++;
            if (why !== undefined)
              wrong.push(`case ${number}: ${why}\n  ${JSON.stringify(answer.bytes.toString('latin1').slice(0, 300))}`);
            const outcome = played.error ?? played.end;
            counts[outcome] = (counts[outcome] ?? 0) + 1;
            if (played.error === 'GUEST_PROTOCOL' || lateless(answer)) last.set(number, outcome);
          }
        };
        await Promise.all(attackers.map(run));
      }
      const { statusMs, echoes, wrong: others } = await stop();
      statusMs.sort((a, b) => a - b);
      const times = {
        median: at(statusMs, 0.5),
        p95: at(statusMs, 0.95),
        p99: at(statusMs, 0.99),
        max: at(statusMs, 1),
      };
      console.log(JSON.stringify({ ...counts, honest, statusMs: times, echoes, seed: SEED }));
      expect(wrong.slice(0, 10)).toEqual([]);
      expect(others.slice(0, 10)).toEqual([]);
      expect(echoes).toBeGreaterThan(10);
      expect(honest).toBeGreaterThan(COUNT / 10);
      // The slowest of all tell of this machine, on which the attackers run as well.
      expect(times.p95).toBeLessThan(STATUS_MS);
      expect(worker.pid()).toBe(pid);
      expect((await fetch(`${worker.url}/status`)).status).toBe(200);
      // A sandbox that broke the protocol served nothing after that.
      await until('the last line is logged', () => worker.output().includes('played'));
      const served = new Map<string, number[]>();
      for (const [, number = '', guest = ''] of worker.output().matchAll(/played (\d+) ([0-9a-f]{8})/g)) {
        served.set(guest, [...(served.get(guest) ?? []), Number(number)]);
      }
      const reused = [...served.values()].flatMap((numbers) =>
        numbers.slice(0, -1).filter((number) => last.has(number)),
      );
      expect(reused).toEqual([]);
      expect(last.size).toBeGreaterThan(COUNT / 100);
    },
  );
});
