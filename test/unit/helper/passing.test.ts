import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { descriptorOf, listenOn, listenTcp } from '../../../src/event/http/listeners';
import { loadPassing } from '../../../src/helper/passing';

describe('passing descriptors', () => {
  const passing = loadPassing();
  let dir = '';
  let dirFd = -1;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'argyle-passing-'));
    dirFd = passing.openDir(dir);
  });
  afterEach(() => {
    closeSync(dirFd);
    rmSync(dir, { recursive: true });
  });

  it('delivers an open file to an inbox that only its user can reach', () => {
    const inbox = passing.inbox(dirFd, 'inbox');
    expect(inbox).toBeGreaterThan(0);
    expect(statSync(join(dir, 'inbox')).mode & 0o777).toBe(0o600);
    expect(passing.take(inbox)).toBe(-constants.errno.EAGAIN);
    writeFileSync(join(dir, 'text'), 'passed');
    const file = openSync(join(dir, 'text'), 'r');
    expect(passing.give(dirFd, 'inbox', file)).toBe(0);
    closeSync(file);
    const taken = passing.take(inbox);
    expect(readFileSync(taken, 'utf8')).toBe('passed');
    closeSync(taken);
    closeSync(inbox);
  });

  it('reports failures by errno', () => {
    expect(passing.give(dirFd, 'nobody', 0)).toBe(-constants.errno.ENOENT);
    expect(passing.inbox(dirFd, 'x'.repeat(200))).toBe(-constants.errno.ENAMETOOLONG);
    expect(passing.openDir(join(dir, 'none'))).toBe(-constants.errno.ENOENT);
    expect(() => passing.openDir('x'.repeat(5000))).toThrow('too long a path');
  });

  it('a listening socket continues to serve when its original process has ended', async () => {
    const servedBy = (port: number): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const call = request({ port, host: '127.0.0.1', agent: false }, (answer) => {
          answer.resume();
          answer.on('end', () => {
            resolve(answer.headers.server);
          });
        });
        call.on('error', reject).end();
      });
    const first = await listenTcp((_req, res) => res.setHeader('server', 'first').end(), '127.0.0.1', 0);
    const fd = descriptorOf(first);
    if (fd === undefined) throw new Error('this Node does not tell the descriptor of a server');
    const inbox = passing.inbox(dirFd, 'inbox');
    expect(passing.give(dirFd, 'inbox', fd)).toBe(0);
    const second = await listenOn((_req, res) => res.setHeader('server', 'second').end(), passing.take(inbox));
    closeSync(inbox);
    expect(second.port).toBe(first.port);
    await first.leave();
    expect(await Promise.all(Array.from({ length: 20 }, () => servedBy(second.port)))).toEqual(
      Array.from({ length: 20 }, () => 'second'),
    );
    await second.close(0);
  });
});
