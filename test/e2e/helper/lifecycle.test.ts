/** Unusual sequences of operations on slots. Each test prevents the return of a former fault. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Area, Code, Network, Pool, Role, Stage, Verb } from '../../../src/helper/protocol';
import { CALLER, CALLERS_GROUP, Fixture, SANDBOX_IDS } from '../../support/helper/fixture';
import { closeFd } from '../../support/helper/libc';
import { LIMITS, RawHelper, requestBytes } from '../../support/helper/raw';
import { installSetuid } from '../../support/helper/setuid';
import { until } from '../../support/until';
import { describePrivileged } from '../../support/privileged';

jest.setTimeout(30_000);

const ECHO = { 'worker/code/1/f.py': 'def f(e): return e\n' };
const SO_PASSCRED = 16;
const SO_PASSPIDFD = 76;

function zombiesOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  return children.filter((child) => /\) Z /.test(readFileSync(`/proc/${child}/stat`, 'utf8'))).length;
}

describePrivileged('the helper', () => {
  let fixture: Fixture;
  let helper: RawHelper;

  beforeEach(async () => {
    fixture = new Fixture({ below: '/dev/shm' }); // fast to fill with files
    fixture.write(ECHO);
    helper = new RawHelper(fixture);
    await helper.greet();
  });

  afterEach(async () => {
    await helper.finish();
  });

  it.each([0, 1, 2, 3, 4, 5, 20])('keeps none of %i descriptors of a malformed request', async (count) => {
    const before = (await helper.diag()).value[1];
    const { listen, log } = helper.slotFds(9);
    const fds = Array.from({ length: count }, (_, index) => (index % 2 === 0 ? listen : log));
    for (let seq = 1; seq <= 5; seq++) helper.send(requestBytes(Verb.SLOT, seq, { slot: 9, role: 7 }), fds);
    closeFd(listen);
    closeFd(log);
    expect((await helper.diag()).value[1]).toBe(before);
  });

  it('keeps no descriptor that socket options of the caller add to a message', async () => {
    const count = (): number => readdirSync(`/proc/${helper.child.pid}/fd`).length;
    const before = count();
    for (const option of [SO_PASSCRED, SO_PASSPIDFD]) {
      // The caller made the helper's end of the socket, and could have set the option before the helper's start.
      execFileSync('/usr/bin/python3', ['-c', PASS_OPTION, String(helper.child.pid), String(option)]);
      for (let round = 0; round < 5; round++) expect((await helper.diag()).code).not.toBe(-1);
    }
    expect(count()).toBe(before);
  });

  it('does not confuse a new process with one that died during the removal of a tree', async () => {
    const tree = join(fixture.dir, 'packages/big');
    mkdirSync(tree);
    execFileSync('/bin/sh', ['-c', 'for d in 1 2 3 4 5 6 7 8; do mkdir $d; (cd $d; seq 4000 | xargs touch); done'], {
      cwd: tree,
    });
    await helper.slot(1);
    await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name: ['1'] });
    const removal = helper.call('REMOVE', { arg: [Area.PACKAGES], name: ['big'] });
    await helper.call('DESTROY', { slot: 1 });
    await helper.slot(1);
    const answer = helper.invoke(1, 'alive');
    expect((await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name: ['1'] })).code).toBe(Code.OK);
    const isBusy = existsSync(tree);
    expect(await answer).toBe('"alive"');
    expect((await removal).code).toBe(Code.OK);
    expect(helper.events.filter((event) => event.slot === 1 && event.code === 0).length).toBeLessThanOrEqual(1);
    expect(isBusy).toBe(true);
  });

  it('passes none of its descriptors to a remover, and the remover dies with the helper', async () => {
    const tree = join(fixture.dir, 'packages/big');
    mkdirSync(tree);
    execFileSync('/bin/sh', ['-c', 'for d in 1 2 3 4 5 6 7 8; do mkdir $d; (cd $d; seq 4000 | xargs touch); done'], {
      cwd: tree,
    });
    helper.send(requestBytes(Verb.REMOVE, 5, { arg: [Area.PACKAGES], name: ['big'] }));
    const pid = helper.child.pid ?? 0;
    const removers = `/proc/${pid}/task/${pid}/children`;
    await until('there is a remover', () => readFileSync(removers, 'utf8').trim() !== '');
    const child = readFileSync(removers, 'utf8').trim();
    const capabilities = (): string | undefined =>
      /CapEff:\s+(\w+)/.exec(readFileSync(`/proc/${child}/status`, 'utf8'))?.[1];
    // Only CAP_DAC_OVERRIDE and CAP_FOWNER.
    await until('it has given up its privileges', () => capabilities() === '000000000000000a');
    const fds = execFileSync('ls', ['-l', `/proc/${child}/fd`], { encoding: 'utf8' });
    helper.child.kill('SIGKILL');
    await helper.ended;
    await new Promise((resolve) => setTimeout(resolve, 100));
    // The child was killed together with the helper. Process 1 of this machine may be slow to reap it.
    expect(existsSync(`/proc/${child}`) && !/State:\s+Z/.test(readFileSync(`/proc/${child}/status`, 'utf8'))).toBe(
      false,
    );
    expect(fds).not.toContain('eventpoll');
    expect((fds.match(/socket:/g) ?? []).length).toBeLessThanOrEqual(1); // standard error
    helper = new RawHelper(fixture); // the name is free again
    await helper.greet();
  });

  it('refuses a slot in a pool whose network is not set', async () => {
    await helper.close();
    helper = new RawHelper(fixture);
    await helper.hello();
    expect(await helper.slot(1)).toMatchObject({ code: Code.STATE, stage: Stage.NETWORK });
    await helper.call('NETWORK', { arg: [Network.NONE, Pool.LAMBDA] });
    expect((await helper.slot(1)).code).toBe(Code.OK);
    expect(await helper.slot(2, Pool.INSTALL)).toMatchObject({ code: Code.STATE, stage: Stage.NETWORK });
    await helper.call('NETWORK', { arg: [Network.OUTBOUND, Pool.INSTALL] });
    expect((await helper.slot(2, Pool.INSTALL)).code).toBe(Code.OK);
  });

  it('never starts a process in a killed slot', async () => {
    await helper.slot(1);
    expect((await helper.call('KILL', { slot: 1 })).code).toBe(Code.OK);
    expect((await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name: ['1'] })).code).toBe(Code.STATE);
    expect((await helper.call('DESTROY', { slot: 1 })).code).toBe(Code.OK);
  });

  it('reaps every process', async () => {
    for (let round = 0; round < 60; round++) {
      await helper.slot(1);
      await helper.call('SPAWN', { slot: 1, role: Role.LEAF, flags: round % 2, name: ['1'] });
      expect((await helper.call('DESTROY', { slot: 1 })).code).toBe(Code.OK);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(zombiesOf(helper.child.pid ?? 0)).toBe(0);
  }, 30_000);

  it('removes a tree that is deeper than the longest path', async () => {
    mkdirSync(join(fixture.dir, 'packages/deep'));
    execFileSync(
      '/usr/bin/python3',
      ['-c', 'import os\nfor i in range(3000):\n os.mkdir("d"); os.chdir("d")\n open("file","w").close()'],
      { cwd: join(fixture.dir, 'packages/deep') },
    );
    expect(await helper.call('REMOVE', { arg: [Area.PACKAGES], name: ['deep'] })).toMatchObject({ code: Code.OK });
    expect(existsSync(join(fixture.dir, 'packages/deep'))).toBe(false);
  });

  it('gives a sandbox only directories of its caller', async () => {
    const own = new Fixture({ owner: CALLER, confPath: installSetuid.conf });
    own.write({ 'packages/own/files/x': '', 'packages/foreign/files/x': '' });
    execFileSync('chown', ['0:0', join(own.dir, 'packages/foreign/files')]);
    const setuid = installSetuid(own);
    const caller = new RawHelper(own, {
      ...setuid,
      wrapper: ['setpriv', `--reuid=${CALLER}`, `--regid=${CALLERS_GROUP}`, '--clear-groups'],
    });
    await caller.greet();
    await caller.slot(1, Pool.INSTALL, LIMITS);
    const refused = await caller.call('SPAWN', { slot: 1, role: Role.INSTALLER, name: ['', 'foreign'] });
    expect(refused.code).toBe(Code.DENIED);
    expect(statSync(join(own.dir, 'packages/foreign/files')).uid).toBe(0);
    expect((await caller.call('SPAWN', { slot: 1, role: Role.INSTALLER, name: ['', 'own'] })).code).toBe(Code.OK);
    expect(statSync(join(own.dir, 'packages/own/files')).uid).toBeGreaterThan(SANDBOX_IDS.first);
    await caller.close();
    expect(own.cgroups()).toEqual([]);
    own.remove();
  });
});

/** Sets a socket option on the helper's end of the control socket. A caller that kept a copy could do the same. */
const PASS_OPTION = `
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
pidfd = os.pidfd_open(int(sys.argv[1]))
fd = libc.syscall(438, pidfd, 3, 0)
assert fd >= 0, os.strerror(ctypes.get_errno())
try:
    socket.socket(fileno=fd).setsockopt(1, int(sys.argv[2]), 1)
except OSError:
    pass
`;
