import { createServer } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { atLeast, cgroups, disk, helper, kernel, port } from '../../../../src/cli/doctor/checks';

const SUBJECT = { helper: '', port: '1', dir: '/' };

test.each([
  ['5.14.0', true],
  ['5.13.9', false],
  ['6.1', true],
  ['10.0', true],
  ['4.99', false],
])('%s is at least 5.14: %s', (version, is) => {
  expect(atLeast(version, [5, 14])).toBe(is);
});

test('an old kernel fails with advice', () => {
  expect(kernel('4.19.0-1-amd64')).toEqual({
    check: 'kernel',
    state: 'failed',
    found: '4.19.0-1-amd64',
    cure: 'install Linux 5.14 or newer',
  });
});

test.each([
  ['cgroup2 /sys/fs/cgroup cgroup2 rw 0 0', 'ok', 'v2'],
  ['a /x cgroup rw 0 0\nb /y cgroup2 rw 0 0', 'ok', 'hybrid: v1 controllers and v2'],
  ['proc /proc proc rw 0 0', 'failed', 'not mounted'],
])('mounts %j: %s, %s', (mounts, state, found) => {
  expect(cgroups(mounts)).toMatchObject({ state, found });
});

test('a missing helper is named', () => {
  expect(helper({ ...SUBJECT, helper: '/nowhere' })).toMatchObject({
    state: 'failed',
    found: expect.stringContaining('/nowhere') as string,
    cure: 'make build, or make install as root',
  });
});

test('a port in use is distinguished from a free port', async () => {
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const taken = String((server.address() as AddressInfo).port);
  expect(await port({ ...SUBJECT, port: taken })).toMatchObject({ state: 'warning' });
  server.close();
  await once(server, 'close');
  expect(await port({ ...SUBJECT, port: taken })).toEqual({ check: 'port', state: 'ok', found: `${taken} is free` });
});

test('the free disk space is reported', () => {
  expect(disk(SUBJECT).found).toMatch(/^\d+ MB free at \/$/);
});
