/** Runs a guest of sandbox-helper/guest without a sandbox, with a real process, real sockets and a temporary root. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';

export const PYTHON = '/usr/bin/python3';
const RUNTIME = path.resolve(__dirname, '../../../sandbox-helper/guest');
const LAUNCH = path.join(__dirname, 'launch.py');

export interface Reply {
  status: number;
  headers: http.IncomingHttpHeaders;
  rawHeaders: string[];
  body: string;
}

export interface Ask {
  method?: string;
  path?: string;
  headers?: http.OutgoingHttpHeaders;
  /** Several parts are sent as chunks. */
  body?: string | Buffer | string[];
}

/** Default boot fields of a leaf. */
export const LEAF = { role: 'leaf', name: 'echo', entry_file: 'f.py', sys_path: [] as string[], env: {} };

type Launcher = ChildProcessByStdio<Writable, Readable, Readable>;

/** Guests of this test file. They are ended even if a test fails. */
const alive = new Set<Guest>();
afterAll(() => Promise.all([...alive].map((guest) => guest.stop())));

export class Guest {
  stdout = '';
  stderr = '';
  readonly exited: Promise<number | null>;
  private readonly agent: http.Agent;
  private readonly first: net.Socket[] = [];
  private readonly sockets = new Set<net.Socket>();

  private constructor(
    readonly root: string,
    private readonly child: Launcher,
  ) {
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.exited = once(child, 'close').then(([code]) => code as number | null);
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    this.agent.createConnection = () => this.first.shift() ?? this.open();
  }

  /** Starts a guest with `files` below its root (`handler/f.py`, `packages/…`). f.bin becomes executable. */
  static start(role: string, files: Record<string, string> = {}, go = true): Guest {
    const root = mkdtempSync(path.join(os.tmpdir(), 'guest-'));
    for (const dir of ['handler', 'packages', 'tmp']) mkdirSync(path.join(root, dir));
    for (const [name, text] of Object.entries(files)) {
      const file = path.join(root, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, text);
      if (name.endsWith('.bin')) chmodSync(file, 0o755);
    }
    // A copy without the libguest.so that may be built beside the sources, since libguest.so needs the helper.
    const runtime = path.join(root, 'runtime');
    cpSync(RUNTIME, runtime, { recursive: true, filter: (file) => !file.endsWith('.so') });
    const child = spawn(PYTHON, [LAUNCH, path.join(runtime, 'main.py'), path.join(root, 'sock'), role], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], ARGYLE_GUEST_ROOT: root },
    });
    const guest = new Guest(root, child);
    alive.add(guest);
    if (go) guest.order('go');
    return guest;
  }

  /** A booted leaf with `source` as handler/f.py. */
  static async leaf(source: string, boot: Partial<typeof LEAF> & Record<string, unknown> = {}): Promise<Guest> {
    const guest = Guest.start('leaf', { 'handler/f.py': source });
    await guest.boot({ ...LEAF, ...boot });
    return guest;
  }

  order(line: 'go' | 'fork' | 'term' | 'close'): void {
    this.child.stdin.write(`${line}\n`);
  }

  /** Opens a new connection to the guest's socket. */
  async connect(): Promise<net.Socket> {
    for (let tries = 0; ; tries++) {
      const socket = this.open();
      try {
        await once(socket, 'connect');
        return socket;
      } catch (error) {
        if (tries > 500) throw error;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  }

  /** Writes a boot frame on a new connection. The next request() uses this connection. */
  async boot(document: object): Promise<net.Socket> {
    const socket = await this.connect();
    const text = Buffer.from(JSON.stringify(document));
    socket.write(`ARGYLE-BOOT/1 ${text.length}\n`);
    socket.write(text);
    this.first.push(socket);
    return socket;
  }

  /** Sends one request on the persistent connection and waits for the whole answer. */
  async request(ask: Ask = {}): Promise<Reply> {
    const response = await this.stream(ask);
    const parts: Buffer[] = [];
    for await (const part of response) parts.push(part as Buffer);
    const { statusCode, headers, rawHeaders } = response;
    return { status: statusCode ?? 0, headers, rawHeaders, body: Buffer.concat(parts).toString() };
  }

  /** Sends one request. Resolves with the head of the answer. */
  stream(ask: Ask = {}): Promise<http.IncomingMessage> {
    const { method = 'POST', path: target = '/run/echo/', headers = {}, body } = ask;
    return new Promise((resolve, reject) => {
      const request = http.request({ agent: this.agent, host: 'root', method, path: target, headers }, resolve);
      request.on('error', reject);
      if (Array.isArray(body)) for (const part of body) request.write(part);
      request.end(Array.isArray(body) ? undefined : body);
    });
  }

  /** Closes the persistent connection and opens another, since a guest serves one connection at a time. */
  switch(): Promise<net.Socket> {
    this.agent.destroy();
    return this.connect();
  }

  /**
   * Sends bytes on a new connection and returns everything until the guest closes it. Closes the persistent connection
   * first.
   */
  async raw(bytes: string | Buffer): Promise<string> {
    const socket = await this.switch();
    socket.end(bytes);
    let text = '';
    for await (const part of socket.setEncoding('latin1')) text += part as string;
    return text;
  }

  /** The one-line answer of a zygote or an installer. */
  async line(document: object): Promise<Record<string, unknown>> {
    const socket = await this.boot(document);
    let text = '';
    for await (const part of socket.setEncoding('utf8')) text += part as string;
    return JSON.parse(text) as Record<string, unknown>;
  }

  /** Resolves when `pattern` appears on standard output or error. */
  async printed(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.stdout + this.stderr)) {
      await Promise.race([once(this.child.stdout, 'data'), once(this.child.stderr, 'data')]);
    }
  }

  async stop(): Promise<void> {
    alive.delete(this);
    this.agent.destroy();
    for (const socket of this.sockets) socket.destroy();
    this.child.stdin.end();
    await this.exited;
    rmSync(this.root, { recursive: true, force: true });
  }

  private open(): net.Socket {
    const socket = net.connect(path.join(this.root, 'sock'));
    socket.on('error', () => undefined);
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    return socket;
  }
}
