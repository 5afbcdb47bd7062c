/** A guest that answers and closes before it has read the request. The guest is a separate process. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { AnswerControl } from '../../../../src/sandbox/answer/guard';
import { GuestHttp } from '../../../../src/sandbox/guest-http';

/** Reads the first bytes of each connection and writes the answer of the path. `/none` closes without an answer. */
const GUEST = `
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(8)
print("up", flush=True)
ANSWERS = {
    "/whole": b"HTTP/1.1 200 OK\\r\\nconnection: close\\r\\ncontent-length: 2\\r\\n\\r\\nok",
    "/open": b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok",
    "/unsized": b"HTTP/1.1 200 OK\\r\\nconnection: close\\r\\n\\r\\nok",
    "/large": b"HTTP/1.1 200 OK\\r\\nconnection: close\\r\\ncontent-length: 150000\\r\\n\\r\\n" + b"x" * 150000,
    "/cut": b"HTTP/1.1 200 OK\\r\\ncontent-length: 20\\r\\n\\r\\nok",
    "/half": b"HTTP/1.1 200 O",
    "/head": b"HTTP/1.1 200 OK\\r\\nconnection: close\\r\\ncontent-length: 7\\r\\n\\r\\n",
    "/none": b"",
}
while True:
    conn, _ = server.accept()
    if data := conn.recv(4096):
        conn.sendall(ANSWERS[data.split(b" ")[1].decode()])
    conn.close()
`;

/** Blocks this process, so that it does not notice the guest's work meanwhile. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** A body whose last part is written after the guest has closed, and before its answer is read. */
function late(): Readable {
  // eslint-disable-next-line @typescript-eslint/require-await -- undici takes streams, which need no await
  async function* parts() {
    yield Buffer.alloc(1000);
    block(150);
    yield Buffer.alloc(1 << 20);
  }
  return Readable.from(parts());
}

describe('a guest that closes before it has read the whole request', () => {
  const dir = mkdtempSync(join(tmpdir(), 'refused-'));
  let guest: ChildProcessByStdio<null, Readable, null>;
  let http: GuestHttp;
  const faults: string[] = [];

  beforeAll(async () => {
    guest = spawn('/usr/bin/python3', ['-c', GUEST, join(dir, 's')], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(guest.stdout, 'data');
  });
  beforeEach(() => {
    http = new GuestHttp(() => connect(join(dir, 's')));
    faults.length = 0;
    http.boot(Buffer.alloc(0), { onFault: (error) => faults.push(error.message) });
  });
  afterEach(() => {
    http.destroy(new Error('done'));
  });
  afterAll(() => {
    guest.kill();
    rmSync(dir, { recursive: true });
  });

  /** @param pauseMs time for which the client reads only the first bytes of the body */
  const post = (path: string, method = 'POST', pauseMs = 0): Promise<string> =>
    new Promise((resolve, reject) => {
      let text = '';
      let control: AnswerControl | undefined;
      const headers = ['content-length', String(1000 + (1 << 20))];
      http.dispatch(
        { path, method: method, headers, body: late() },
        {
          onStart: (given) => (control = given),
          onHead: ({ status }) => (text += `${String(status)} `),
          onData: (chunk) => {
            text += chunk.toString();
            if (pauseMs === 0) return;
            control?.pause();
            setTimeout(() => control?.resume(), pauseMs);
            pauseMs = 0;
          },
          onEnd: () => {
            resolve(text);
          },
          onError: reject,
        },
      );
    });

  const codeOf = (answer: Promise<string>): Promise<string> =>
    answer.catch((error: unknown) => (error as NodeJS.ErrnoException).code ?? String(error));

  test.each([
    ['/whole', 'POST', '200 ok'],
    ['/open', 'PUT', '200 ok'],
    ['/unsized', 'POST', '200 ok'],
    ['/head', 'HEAD', '200 '],
  ])('%s: the client gets the whole answer to %s', async (path, method, text) => {
    expect(await post(path, method)).toBe(text);
    // The next request gets a new connection.
    expect(await post('/whole')).toBe('200 ok');
    expect(faults).toEqual([]);
  });

  test('delivers a large answer completely, also to a client that reads late', async () => {
    expect(await post('/large')).toBe(`200 ${'x'.repeat(150_000)}`);
    expect(await post('/large', 'POST', 200)).toBe(`200 ${'x'.repeat(150_000)}`);
  });

  test.each(['/cut', '/half'])('%s: an incomplete answer fails, and the next one is served', async (path) => {
    expect(await codeOf(post(path))).toMatch(/UND_ERR_SOCKET|ECONNRESET/);
    expect(await post('/whole')).toBe('200 ok');
  });

  test('without an answer causes the error of the write', async () => {
    expect(await codeOf(post('/none'))).toMatch(/EPIPE|ECONNRESET/);
    expect(await post('/whole')).toBe('200 ok');
  });
});
