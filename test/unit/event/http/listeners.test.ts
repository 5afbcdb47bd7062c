import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import * as http from 'node:http';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { connect } from 'node:net';
import { listenPidSocket, listenTcp, mostConnections } from '../../../../src/event/http/listeners';

function get(options: http.RequestOptions): Promise<[number | undefined, string]> {
  return new Promise((resolve, reject) => {
    http
      .get({ agent: false, ...options }, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => {
          resolve([response.statusCode, text]);
        });
      })
      .on('error', reject);
  });
}

describe('listenPidSocket', () => {
  test('returns the pid to the owner, and serves nothing else', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'listen-'));
    const socketPath = path.join(dir, 'ol.sock');
    await writeFile(socketPath, 'left over');
    await writeFile(path.join(dir, 'before'), '');
    const listener = await listenPidSocket(socketPath);
    await writeFile(path.join(dir, 'after'), '');
    const modes = await Promise.all(['before', 'after'].map((name) => stat(path.join(dir, name))));
    expect(modes[1]?.mode).toBe(modes[0]?.mode);
    expect(((await stat(socketPath)).mode & 0o777).toString(8)).toBe('600');
    expect(await get({ socketPath, path: '/pid' })).toEqual([200, `${process.pid}\n`]);
    expect(await get({ socketPath, path: '/status' })).toEqual([404, '404 page not found\n']);
    await listener.close(100);
    await rm(dir, { recursive: true });
  });
});

describe('listenTcp', () => {
  test('an address in use is an error that names it', async () => {
    const first = await listenTcp(() => undefined, '127.0.0.1', 0);
    await expect(listenTcp(() => undefined, '127.0.0.1', first.port)).rejects.toThrow(
      `cannot listen on 127.0.0.1:${first.port}: the address is in use`,
    );
    await first.close(0);
  });

  test('allows connections for half of the descriptors, and closes further ones', async () => {
    expect(mostConnections('Max open files            1024                 4096                 files     \n')).toBe(
      512,
    );
    expect(mostConnections('Max open files            unlimited            unlimited            files     \n')).toBe(
      Infinity,
    );
    const listener = await listenTcp((_req, res) => res.end('served'), '127.0.0.1', 0);
    expect(listener.server.maxConnections).toBe(mostConnections());
    listener.server.maxConnections = 2;
    const open = [1, 2, 3].map(() => connect(listener.port, '127.0.0.1').on('error', () => undefined));
    await new Promise((resolve) => open[2]?.once('close', resolve));
    expect(open.slice(0, 2).map(({ destroyed }) => destroyed)).toEqual([false, false]);
    const first = open[0];
    first?.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const answer = await new Promise<Buffer>((resolve) => first?.once('data', resolve));
    expect(answer.toString()).toContain('served');
    for (const socket of open) socket.destroy();
    await listener.close(0);
  });

  test('close() ends idle connections at once and hanging ones after the grace period', async () => {
    const listener = await listenTcp(() => undefined, '127.0.0.1', 0);
    const hanging = get({ host: '127.0.0.1', port: listener.port });
    hanging.catch(() => undefined);
    await new Promise((resolve) => listener.server.once('request', resolve));
    const begin = performance.now();
    await listener.close(100);
    expect(performance.now() - begin).toBeGreaterThan(90);
    await expect(hanging).rejects.toThrow();
  });
});
