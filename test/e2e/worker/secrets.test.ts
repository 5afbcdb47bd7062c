/**
 * A secret is stored on the command line and read by a function. The test searches all readable files for the value.
 */
import { spawn } from 'node:child_process';
import { chmodSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { PROGRAM } from '../../support/ol';
import { describeContract, liveWorker, type Reply } from '../../support/contract-target';
import { packLambda } from '../../support/deploy';
import { until } from '../../support/until';

jest.setTimeout(60_000);

const OLD = 'correct-horse-battery';
const NEW = 'staple-wrdlbrmpfd-9';
const CREDENTIAL = 'from-the-service-manager';
const VALUES = [OLD, NEW, CREDENTIAL];

const F = `
import os
def f(event):
    if event == "raise": raise ValueError("no luck")
    if event == "exit": os._exit(3)
    if event == "sleep":
        import time
        time.sleep(20)
    value = os.environ["DB_PASSWORD"]
    return {"same": value == event, "credential": os.environ.get("API_KEY") == "${CREDENTIAL}", "pid": os.getpid()}
`;

/** All readable files below a directory. The contents of archives are unpacked. */
function* filesBelow(dir: string, except: string): Generator<[path: string, text: string]> {
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    const stat = lstatSync(path);
    if (path === except) continue;
    if (stat.isDirectory()) yield* filesBelow(path, except);
    else if (stat.isFile()) {
      const bytes = readFileSync(path);
      yield [path, (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('latin1')];
    }
  }
}

/** The text of an event stream in its first seconds, including errors. */
async function firstEvents(url: string): Promise<string> {
  const stop = new AbortController();
  let text = '';
  try {
    const { body } = await fetch(url, { signal: stop.signal });
    const decoder = new TextDecoder();
    for await (const chunk of body ?? []) {
      text += decoder.decode(chunk as Uint8Array, { stream: true });
      if (text.includes('event: errors') && text.includes('event: settings') && text.endsWith('\n\n')) break;
    }
  } finally {
    stop.abort();
  }
  return text;
}

describeContract('secrets', () => {
  const credentials = mkdtempSync(join(tmpdir(), 'credentials-'));
  writeFileSync(join(credentials, 'API_KEY'), CREDENTIAL, { mode: 0o440 });
  process.env['CREDENTIALS_DIRECTORY'] = credentials;
  const worker = liveWorker({ config: { registry_cache_ms: 100 } });
  beforeAll(() => {
    // `-p w` reads the worker's port from its config.json.
    worker.dir.configure({ worker_port: new URL(worker.url).port });
  });
  afterAll(() => {
    delete process.env['CREDENTIALS_DIRECTORY'];
    rmSync(credentials, { recursive: true });
  });

  /** Runs `ol secret …` with this standard input. */
  const secret = (args: string[], input = ''): Promise<{ code: number | null; out: string; err: string }> =>
    new Promise((done) => {
      const child = spawn(PROGRAM, ['secret', ...args, '-p', 'w'], { cwd: worker.dir.dir });
      let [out, err] = ['', ''];
      child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
      child.on('close', (code) => {
        done({ code, out, err });
      });
      child.stdin.end(input);
    });
  const replies: Reply[] = [];
  const call = async (name: string, event: unknown): Promise<Reply> => {
    const reply = await worker.invoke(name, event);
    replies.push(reply);
    return reply;
  };

  test('reach only the function that names them, follow changes, and are stored nowhere else', async () => {
    const yaml = 'secrets: [DB_PASSWORD, API_KEY]\nlimits: {runtime_sec: 1}\n';
    const name = worker.name('secrets');
    const install = await worker.dir.ol(['new', name]);
    expect(install.code).toBe(0);
    writeFileSync(worker.dir.path(name, 'f.py'), F);
    writeFileSync(worker.dir.path(name, 'ol.yaml'), yaml);
    const warned = await worker.dir.ol(['admin', 'install', '-p', 'w', name]);
    expect(warned).toMatchObject({ code: 0 });
    expect(warned.err).toContain('warning: secret DB_PASSWORD: it is not set: ol secret set DB_PASSWORD\n');

    const missing = await call(name, OLD);
    expect([missing.status, missing.headers['x-argyle-error']]).toEqual([500, 'LAMBDA_SECRET']);
    expect(missing.body).toBe('secret DB_PASSWORD: it is not set: ol secret set DB_PASSWORD\n');

    expect(await secret(['set', 'DB_PASSWORD'], `${OLD}\n`)).toMatchObject({ code: 0, err: '' });
    const dir = worker.dir.path('w/secrets');
    expect([statSync(dir).mode & 0o777, statSync(join(dir, 'DB_PASSWORD')).mode & 0o777]).toEqual([0o700, 0o600]);
    const first = JSON.parse((await call(name, OLD)).body) as { pid: number };
    expect(first).toMatchObject({ same: true, credential: true });

    for (const event of ['raise', 'exit', 'sleep'])
      expect((await call(name, event)).status).toBeGreaterThanOrEqual(500);

    writeFileSync(worker.dir.path('new-value'), NEW);
    expect(await secret(['set', 'DB_PASSWORD', '-f', 'new-value'])).toMatchObject({ code: 0 });
    rmSync(worker.dir.path('new-value'));
    await until('the new value is there', async () => {
      const reply = await call(name, NEW);
      return reply.status === 200 && (JSON.parse(reply.body) as { same: boolean }).same;
    });

    const refused = await packLambda({ 'f.py': F, 'ol.yaml': `${yaml}environment: {DB_PASSWORD: x}\n` });
    expect((await worker.call(`/registry/${name}`, { method: 'POST', body: refused })).body).toContain(
      'DB_PASSWORD is in secrets and in the environment',
    );
    chmodSync(join(dir, 'DB_PASSWORD'), 0o644);
    await until('an open file is refused', async () => (await call(name, NEW)).body.includes('is open to other users'));
    chmodSync(join(dir, 'DB_PASSWORD'), 0o600);
    await until('and taken again', async () => (await call(name, NEW)).status === 200);

    const pages = ['/debug', '/stats', '/metrics', '/zygotes', '/status', '/readyz', `/logs/${name}`];
    for (const page of [...pages, '/registry/', `/registry/${name}/config`, `/registry/${name}/install`]) {
      const reply = await worker.call(page);
      expect([page, reply.status]).toEqual([page, 200]);
      replies.push(reply);
    }
    const dashboard = await firstEvents(`${worker.url}/dashboard/events`);
    expect(dashboard).toContain('LAMBDA_SECRET');
    expect(VALUES.filter((value) => dashboard.includes(value))).toEqual([]);
    for (const reply of replies) {
      const text = `${reply.rawHeaders.join('\n')}\n${reply.body}`;
      expect(VALUES.filter((value) => text.includes(value))).toEqual([]);
    }
    // The log and the trace are written to the disk within 20 ms.
    await until('the trace is there', () => worker.dir.read('w/worker/dep-trace.json').includes('invocation'));
    const files = [...filesBelow(worker.dir.dir, dir)].filter(
      ([path]) => !path.startsWith(worker.dir.path('w/lambda')),
    );
    expect(files.map(([path]) => path)).toContain(worker.dir.path('w/worker.out'));
    // The function's code contains the credential's value for a comparison.
    const own = (path: string): boolean => path.endsWith('/f.py') || path.endsWith(`${name}.tar.gz`);
    for (const [path, text] of files) {
      const found = VALUES.filter((value) => text.includes(value) && !(own(path) && value === CREDENTIAL));
      expect([path, found]).toEqual([path, []]);
    }
    expect(readFileSync(`/proc/${worker.pid}/environ`, 'latin1')).not.toMatch(new RegExp(VALUES.join('|')));
  });
});
