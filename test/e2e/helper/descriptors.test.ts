/** Descriptors of a request are of the right kind, or are refused. The helper keeps none of them. */
import { closeSync, openSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { Code, Pool } from '../../../src/helper/protocol';
import { Canary } from '../../support/helper/canary';
import { Fixture } from '../../support/helper/fixture';
import {
  AF_INET,
  AF_UNIX,
  SOCK_DGRAM,
  SOCK_STREAM,
  closeFd,
  pipe,
  socket,
  socketPair,
} from '../../support/helper/libc';
import { LIMITS, RawHelper } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';

describePrivileged('descriptors', () => {
  let fixture: Fixture;
  let helper: RawHelper;
  let canary: Canary;

  beforeEach(async () => {
    fixture = new Fixture({ below: '/dev/shm' });
    fixture.write({ 'worker/code/1/f.py': 'def f(e): return e\n', 'packages/p/files/x': '' });
    canary = new Canary();
    helper = new RawHelper(fixture);
    await helper.greet();
  });

  afterEach(async () => {
    await helper.close();
    canary.verify(fixture);
  });

  describe('wrong descriptors are refused:', () => {
    let server: Server;
    let kept: number[] = [];
    const hold = (...fds: number[]): number[] => (kept.push(...fds), fds);
    beforeEach(() => {
      server = createServer();
    });
    afterEach(() => {
      server.close();
      kept.forEach(closeFd);
      kept = [];
    });

    it.each<[string, () => number[]]>([
      ['none', () => []],
      ['one', () => [helper.slotFds(1).listen]],
      ['a regular file for a socket', () => [openSync('/etc/passwd', 'r'), helper.slotFds(1).log]],
      ['a directory for a socket', () => [openSync('/etc', 'r'), helper.slotFds(1).log]],
      ['a socket that does not listen', () => [socket(AF_UNIX, SOCK_STREAM), helper.slotFds(1).log]],
      ['a datagram socket', () => [socket(AF_UNIX, SOCK_DGRAM), helper.slotFds(1).log]],
      ['a connected pair', () => [socketPair(SOCK_STREAM)[0], helper.slotFds(1).log]],
      ['an inet socket', () => [socket(AF_INET, SOCK_STREAM), helper.slotFds(1).log]],
      ['a file for the log', () => [helper.slotFds(1).listen, openSync('/etc/passwd', 'r')]],
      ['/dev/null for the log', () => [helper.slotFds(1).listen, openSync('/dev/null', 'w')]],
      ["the log's read end", () => [helper.slotFds(1).listen, pipe()[0]]],
      ['two logs', () => pipe()],
      [
        'both the other way round',
        () => {
          const f = helper.slotFds(1);
          return [f.log, f.listen];
        },
      ],
      ['a file for errors', () => [...Object.values(helper.slotFds(1)), openSync('/etc/passwd', 'r')]],
      ['a socket for errors', () => [...Object.values(helper.slotFds(1)), socket(AF_UNIX, SOCK_STREAM)]],
      [
        'four',
        () => {
          const f = helper.slotFds(1);
          return [f.listen, f.log, f.log, f.log];
        },
      ],
    ])('%s', async (_name, make) => {
      const before = (await helper.diag()).value;
      const reply = await helper.call('SLOT', { slot: 1, role: Pool.LAMBDA, arg: LIMITS }, hold(...make()));
      expect(reply.code).toBe(Code.BADREQ);
      expect((await helper.diag()).value).toEqual(before);
      expect((await helper.slot(1)).code).toBe(Code.OK);
    });

    it('a listening inet socket', async () => {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const handle = (server as unknown as { _handle: { fd: number } })._handle.fd;
      const reply = await helper.call('SLOT', { slot: 1, role: 1, arg: LIMITS }, [handle, helper.slotFds(1).log]);
      expect(reply).toMatchObject({ code: Code.BADREQ });
    });

    it('any descriptor of a verb that takes none, which is closed', async () => {
      const before = (await helper.diag()).value[1];
      const fd = openSync('/etc/passwd', 'r');
      for (const verb of ['DIAG', 'USAGE', 'REMOVE', 'HELLO', 'NETWORK', 'GO'] as const)
        await helper.call(verb, {}, [fd, fd]);
      closeSync(fd);
      expect((await helper.diag()).value[1]).toBe(before);
    });
  });
});
