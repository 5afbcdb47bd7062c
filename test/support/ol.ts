/** Runs the built `ol` in separate processes, with a temporary directory per test. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const ROOT = join(__dirname, '../..');
export const PROGRAM = join(ROOT, 'bin/ol');

export interface Result {
  code: number;
  out: string;
  err: string;
}

/** Sends one HTTP request on a new connection. */
export function ask(
  url: string,
  options: { method?: string; body?: string } = {},
): Promise<{ status: number; body: string }> {
  return new Promise((done, fail) => {
    const sent = request(url, { method: options.method ?? 'GET', agent: false, timeout: 30_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => {
        done({ status: response.statusCode ?? 0, body });
      });
    });
    sent.on('error', fail);
    sent.end(options.body);
  });
}

/** Settings of a worker that makes no calls of its own. */
export const NO_WARMUP = { warmup_calls: 0 };

/** A directory in which `ol` runs. Its worker, if any, is in `w`. */
export class OlDir {
  readonly dir = mkdtempSync(join(tmpdir(), 'cli-'));

  constructor() {
    if (!existsSync(join(ROOT, 'dist/main.js'))) throw new Error('dist/main.js is missing: run make build first');
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  read(...parts: string[]): string {
    return readFileSync(this.path(...parts), 'utf8');
  }

  json(...parts: string[]): Record<string, unknown> {
    return JSON.parse(this.read(...parts)) as Record<string, unknown>;
  }

  /** Sets keys of w/config.json. */
  configure(changes: Record<string, unknown>): void {
    writeFileSync(this.path('w/config.json'), JSON.stringify({ ...this.json('w/config.json'), ...changes }));
  }

  /** Runs `ol …args` in this directory. */
  ol(args: string[], options: { cwd?: string; bin?: string; env?: NodeJS.ProcessEnv } = {}): Promise<Result> {
    return new Promise((done) => {
      const { cwd = this.dir, bin = PROGRAM, env = {} } = options;
      const settings = { cwd, timeout: 90_000, env: { ...process.env, ...env } };
      execFile(bin, args, settings, (error, out, err) => {
        done({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, out, err });
      });
    });
  }

  /** Initialises w and starts its worker on `port`. */
  async start(port: string): Promise<void> {
    await this.ol(['worker', 'init', '-p', 'w']);
    const argyle = { ...(this.json('w/config.json')['argyle'] as object), ...NO_WARMUP };
    this.configure({ worker_port: port, argyle });
    const { code, err } = await this.ol(['worker', 'up', '-p', 'w', '-d']);
    if (code !== 0) throw new Error(`the worker did not start: ${err}\n${this.read('w/worker.out')}`);
  }

  /** Stops the worker, if any, and deletes everything. */
  async dispose(): Promise<void> {
    if (existsSync(this.path('w/worker'))) await this.ol(['worker', 'down', '-p', 'w']);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
