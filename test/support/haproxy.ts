/** Test support: runs configs/haproxy/haproxy.cfg in a real HAProxy, with a test's addresses. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { freePort } from './ports';
import { until } from './until';

const CONFIG = resolve(__dirname, '../../configs/haproxy/haproxy.cfg');

export interface Proxy {
  url: string;
  /** Sends one command to the admin socket. */
  admin(command: string): Promise<string>;
  /** A named column of `show stat` for one worker. */
  stat(server: string, column: string): Promise<string>;
  close(): Promise<void>;
}

/** @param workers URLs of w1, w2, … */
export async function startProxy(workers: readonly string[]): Promise<Proxy> {
  const dir = mkdtempSync(join(tmpdir(), 'haproxy-'));
  const port = await freePort();
  const socket = join(dir, 'admin.sock');
  let text = readFileSync(CONFIG, 'utf8');
  const put = (from: RegExp, to: string): void => {
    if (!from.test(text)) throw new Error(`haproxy.cfg has no ${from.source}`);
    text = text.replace(from, to);
  };
  put(/\/run\/haproxy\/admin\.sock/, socket);
  put(/bind :8080/, `bind 127.0.0.1:${port}`);
  for (const [i, url] of workers.entries()) {
    put(new RegExp(`server w${i + 1} \\S+`), `server w${i + 1} ${new URL(url).host}`);
  }
  const file = join(dir, 'haproxy.cfg');
  writeFileSync(file, text);
  const child = spawn('haproxy', ['-W', '-db', '-f', file], {
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ended = once(child, 'exit');
  const admin = async (command: string): Promise<string> => {
    const client = connect(socket);
    const chunks: Buffer[] = [];
    client.end(`${command}\n`);
    for await (const chunk of client) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  };
  const url = `http://127.0.0.1:${port}`;
  await until('HAProxy listens', async () => {
    if (child.exitCode !== null) throw new Error(`haproxy ended: ${said}`);
    return fetch(url).then(
      () => true,
      () => false,
    );
  });
  return {
    url,
    admin,
    stat: async (server, column) => {
      const [head = '', ...rows] = (await admin('show stat')).replace(/^# /, '').split('\n');
      const index = head.split(',').indexOf(column);
      return rows.map((row) => row.split(',')).find(([, name]) => name === server)?.[index] ?? '';
    },
    close: async () => {
      child.kill();
      await ended;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
