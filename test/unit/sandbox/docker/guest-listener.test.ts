import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GuestListener } from '../../../../src/sandbox/docker/guest-listener';
import { until } from '../../../support/until';

describe('GuestListener', () => {
  const dir = mkdtempSync(join(tmpdir(), 'argyle-line-'));
  const path = join(dir, 'guest');
  const front = join(dir, 'front');
  let line: GuestListener;
  const sockets: Socket[] = [];
  beforeEach(async () => {
    line = await GuestListener.listen(path);
  });
  afterEach(async () => {
    line.close(new Error('over'));
    sockets.splice(0).forEach((socket) => socket.destroy());
    await until('the sockets are gone', () => readdirSync(dir).length === 0);
  });
  afterAll(() => {
    rmSync(dir, { recursive: true });
  });
  const dial = (to = path): Socket => {
    const socket = connect({ path: to, allowHalfOpen: true }).on('error', () => undefined);
    sockets.push(socket);
    return socket;
  };
  const take = async (): Promise<Socket> => {
    const socket = await line.take();
    sockets.push(socket);
    return socket;
  };

  /** All received text, without closing the other direction. */
  const text = (socket: Socket): Promise<string> =>
    new Promise((resolve) => {
      let all = '';
      socket.on('data', (chunk: Buffer) => (all += chunk.toString()));
      socket.on('end', () => {
        resolve(all);
      });
    });

  it('lets any user connect', () => {
    expect(statSync(path).mode & 0o777).toBe(0o777);
  });

  it('returns connections in order, whichever side is first', async () => {
    const first = take();
    const [a, b] = [dial(), dial()];
    a.end('a');
    expect(await text(await first)).toBe('a');
    b.end('b');
    expect(await text(await take())).toBe('b');
  });

  it('rejects waiting and later calls after close()', async () => {
    const waiting = line.take();
    line.close(new Error('the guest is gone'));
    await expect(waiting).rejects.toThrow('the guest is gone');
    await expect(line.take()).rejects.toThrow('the guest is gone');
  });

  it('connects each client with the guest, one after the other, also after a half-close', async () => {
    await line.serve(front);
    const clients = ['one', 'two'].map((word) => {
      const client = dial(front);
      client.end(word);
      return text(client);
    });
    for (const word of ['one', 'two']) {
      const guest = dial();
      expect(await text(guest)).toBe(word);
      guest.end(`${word}!`);
    }
    expect(await Promise.all(clients)).toEqual(['one!', 'two!']);
  });

  it('disconnects a client when the guest has ended', async () => {
    await line.serve(front);
    const client = dial(front);
    client.write('?');
    const guest = dial();
    guest.once('data', () => guest.destroy());
    expect(await text(client)).toBe('');
  });

  it('refuses a path in use', async () => {
    await expect(GuestListener.listen(path)).rejects.toMatchObject({ code: 'SANDBOX_CREATE' });
  });
});
