/**
 * The worker of the contract tests. A suite starts it through the CLI in a temporary directory, or uses the one at
 * ARGYLE_CONTRACT_URL, e.g. the original. Tests of internals run only in the first case.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import * as http from 'node:http';
import { deploy, packLambda, type LambdaSource } from './deploy';
import { startTestMirror, type TestMirror } from './mirror';
import { NO_WARMUP, OlDir } from './ol';
import { freePort } from './ports';
import { exchange } from './raw-http';
import { whyNotPrivileged } from './privileged';

const REMOTE = process.env['ARGYLE_CONTRACT_URL']?.replace(/\/$/, '');

/** Lifetime of cached registry answers, ms: short for an own worker, the original's default for a remote one. */
export const REGISTRY_CACHE_MS = REMOTE === undefined ? 1000 : 5000;

const ALONE = REMOTE === undefined ? whyNotPrivileged() : undefined;
const MUST_WORK = process.env['ARGYLE_MUST_WORK'] === '1';

/** `describe` for the contract. Skipped on a machine that cannot run a worker, unless ARGYLE_MUST_WORK=1. */
export function describeContract(name: string, body: () => void): void {
  if (ALONE === undefined || MUST_WORK) describe(name, body);
  else describe.skip(`${name} (${ALONE})`, body);
}

/**
 * Whether a remote worker is Argyle. Jest needs the list of tests before any test runs, so a synchronous child process
 * asks.
 */
function isArgyle(url: string): boolean {
  const script = 'fetch(process.argv[1]).then((r) => process.exit(r.status === 200 ? 0 : 1), () => process.exit(2))';
  const { status } = spawnSync(process.execPath, ['-e', script, `${url}/metrics`], { timeout: 20_000 });
  if (status !== 0 && status !== 1) throw new Error(`ARGYLE_CONTRACT_URL: ${url} does not answer`);
  return status === 0;
}

/** `test`, or a skipped test with the reason in its title. */
function testUnless(skipped: boolean, why: string): typeof test {
  if (!skipped) return test;
  const skip = (name: string, body?: jest.ProvidesCallback) => {
    test.skip(`${name} (skipped: ${why})`, body);
  };
  const each = (table: readonly unknown[]) => (name: string, body: (...args: unknown[]) => void) => {
    test.skip.each(table)(`${name} (skipped: ${why})`, body);
  };
  return Object.assign(skip, { each }) as unknown as typeof test;
}

/** `test` of the worker's files, settings or processes, which are not accessible on a remote worker. */
export const localTest = testUnless(REMOTE !== undefined, "needs the worker's own files");

/** `test` of deliberate differences from the original (docs/differences.md). Also runs against a remote Argyle. */
export const argyleTest = testUnless(REMOTE !== undefined && !isArgyle(REMOTE), 'the original differs');

/** `test` with packages of the project's own index. A remote worker must be configured to use that index. */
export const packageTest = testUnless(
  REMOTE !== undefined && process.env['ARGYLE_CONTRACT_PACKAGES'] !== '1',
  "needs a worker that installs from the project's index, and ARGYLE_CONTRACT_PACKAGES=1",
);

export interface Reply {
  status: number;
  headers: http.IncomingHttpHeaders;
  /** Names and values as received, including duplicates. */
  rawHeaders: string[];
  body: string;
  bytes: Buffer;
}

export interface CallOptions extends Omit<http.RequestOptions, 'path' | 'host' | 'port'> {
  body?: string | Buffer;
}

export interface LiveOptions {
  /** Changes to config.json. Objects are merged key by key. */
  config?: Record<string, unknown>;
  /** Serves the project's own packages and makes the worker install from there. */
  mirror?: boolean;
}

export class LiveWorker {
  private readonly prefix = `c${randomBytes(3).toString('hex')}-`;
  private dirOfWorker: OlDir | undefined;
  private testMirror: TestMirror | undefined;
  url = '';

  async start(options: LiveOptions): Promise<void> {
    if (REMOTE !== undefined) {
      this.url = REMOTE;
      return;
    }
    const port = String(await freePort());
    const dir = new OlDir();
    this.dirOfWorker = dir;
    this.url = `http://127.0.0.1:${port}`;
    if (options.mirror === true) this.testMirror = await startTestMirror();
    const init = await dir.ol(['worker', 'init', '-p', 'w']);
    if (init.code !== 0) throw new Error(`init: ${init.err}`);
    const file = dir.json('w/config.json');
    const changes: Record<string, unknown> = {
      registry_cache_ms: REGISTRY_CACHE_MS,
      ...(this.testMirror === undefined ? {} : { pip_mirror: this.testMirror.url }),
      ...options.config,
      argyle: { ...NO_WARMUP, ...(options.config?.['argyle'] as object | undefined) },
    };
    for (const [key, value] of Object.entries(changes)) {
      const old = file[key];
      const merge = isGroup(old) && isGroup(value);
      file[key] = merge ? { ...old, ...value } : value;
    }
    dir.configure(file);
    const up = await dir.ol(['worker', 'up', '-p', 'w', '-d', '-o', `worker_port=${port}`]);
    if (up.code !== 0) throw new Error(`the worker did not start: ${up.err}\n${dir.read('w/worker.out')}`);
  }

  async stop(): Promise<void> {
    await this.dirOfWorker?.dispose();
    await this.testMirror?.close();
  }

  /** False for a remote worker, whose files are not accessible. */
  get isOurs(): boolean {
    return REMOTE === undefined;
  }

  /** The directory in which `ol` runs. The worker's own directory is `w` in it. */
  get dir(): OlDir {
    if (this.dirOfWorker === undefined) throw new Error('the worker is not ours');
    return this.dirOfWorker;
  }

  get pid(): number {
    return Number(this.dir.read('w/worker/worker.pid'));
  }

  /** Resident memory of the worker, MB. */
  get rssMb(): number {
    const kb = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1];
    return Number(kb) / 1024;
  }

  /** A name that no other suite uses. */
  name(name: string): string {
    return this.prefix + name;
  }

  /** Uploads a function under name(name) and returns that name. */
  deploy(name: string, source: LambdaSource): Promise<string> {
    return deploy(this.url, source, this.name(name));
  }

  /** Uploads any source or bytes under the exact name. */
  async upload(name: string, source: LambdaSource | Buffer): Promise<Reply> {
    const body = Buffer.isBuffer(source) ? source : await packLambda(source);
    return this.call(`/registry/${name}`, { method: 'POST', body });
  }

  /** Starts one request on a new connection. The path is sent unchanged; redirects are not followed. */
  open(path: string, options: http.RequestOptions = {}): http.ClientRequest {
    const { hostname, port } = new URL(this.url);
    return http.request({ host: hostname, port, path, agent: false, ...options });
  }

  /** Writes an archive to the registry directory, to bypass the checks of an upload. A remote worker gets an upload. */
  async place(base: string, source: LambdaSource): Promise<string> {
    if (!this.isOurs) return this.deploy(base, source);
    const name = this.name(base);
    writeFileSync(this.dir.path(`w/registry/${name}.tar.gz`), await packLambda(source));
    return name;
  }

  call(path: string, options: CallOptions = {}): Promise<Reply> {
    const { body, ...rest } = options;
    const request = this.open(path, { ...(body === undefined ? {} : { method: 'POST' }), ...rest });
    const answer = replyOf(request);
    request.end(body);
    return answer;
  }

  /** POSTs an event to a function. */
  invoke(path: string, event?: unknown, options: CallOptions = {}): Promise<Reply> {
    const body = event === undefined ? {} : { body: JSON.stringify(event) };
    return this.call(`/run/${path}`, { method: 'POST', ...body, ...options });
  }

  /** Sends these lines as a request and returns everything until the worker closes the connection. */
  raw(lines: readonly string[], body = ''): Promise<string> {
    const { hostname, port } = new URL(this.url);
    return exchange(hostname, Number(port), `${lines.join('\r\n')}\r\n\r\n${body}`);
  }

  async stats(): Promise<Record<string, number>> {
    return JSON.parse((await this.call('/stats')).body) as Record<string, number>;
  }
}

function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The whole response to a started request. */
export function replyOf(request: http.ClientRequest): Promise<Reply> {
  return new Promise((resolve, reject) => {
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0, headers, rawHeaders } = response;
        const bytes = Buffer.concat(chunks);
        resolve({ status: statusCode, headers, rawHeaders, bytes, body: bytes.toString('utf8') });
      });
    });
  });
}

/** Runs a worker for the tests of this `describe`. */
export function liveWorker(options: LiveOptions = {}): LiveWorker {
  const worker = new LiveWorker();
  beforeAll(() => worker.start(options), 60_000);
  afterAll(() => worker.stop(), 60_000);
  return worker;
}
