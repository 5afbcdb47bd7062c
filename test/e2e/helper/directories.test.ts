/** Every directory that the helper resolves for a caller. Links, dots, mount points and races do not lead outside. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Area, Code, Pool, Role } from '../../../src/helper/protocol';
import { Canary } from '../../support/helper/canary';
import { CALLER, CALLERS_GROUP, Fixture } from '../../support/helper/fixture';
import { RawHelper, type RawOptions } from '../../support/helper/raw';
import { installSetuid } from '../../support/helper/setuid';
import { describePrivileged } from '../../support/privileged';

jest.setTimeout(60_000);

const MEMBER = ['setpriv', `--reuid=${CALLER}`, `--regid=${CALLERS_GROUP}`, '--clear-groups'];
const REFUSED: readonly number[] = [Code.BADREQ, Code.DENIED, Code.NOENT, Code.SYS];

describePrivileged('directories', () => {
  let fixture: Fixture;
  let canary: Canary;
  let setuid: RawOptions;
  const open: RawHelper[] = [];

  beforeEach(() => {
    fixture = new Fixture({ owner: CALLER, confPath: installSetuid.conf });
    fixture.write({ 'worker/code/1/f.py': 'def f(e): return e\n', 'packages/p/files/x': '' });
    canary = new Canary();
    setuid = { ...installSetuid(fixture), wrapper: MEMBER };
  });

  afterEach(async () => {
    for (const helper of open.splice(0)) await helper.close();
    canary.verify(fixture);
  });

  const start = (more: RawOptions = {}): RawHelper => {
    const helper = new RawHelper(fixture, { ...setuid, ...more });
    open.push(helper);
    return helper;
  };
  const at = (name: string): string => join(fixture.dir, name);
  const link = (target: string, name: string): void => {
    rmSync(at(name), { recursive: true, force: true });
    symlinkSync(target, at(name));
  };

  it.each<[string, () => void]>([
    ['the worker directory is a link', () => link(canary.dir, 'worker')],
    ['the packages directory is a link', () => link(canary.dir, 'packages')],
    ['the base directory is a link', () => link(canary.dir, 'base')],
    ['the code directory is a link', () => link(join(canary.dir, 'code'), 'worker/code')],
    ['the code directory is a file', () => link('/etc/passwd', 'worker/code')],
    ['the base has a link for usr', () => link('/usr', 'base/usr')],
    ['the base has a link for dev', () => link('/dev', 'base/dev')],
    ['the base has a link for runtime', () => link(canary.dir, 'base/runtime')],
    ['the packages have no store', () => rmSync(at('packages/.store'), { recursive: true })],
    ['the store of packages is a link', () => link(canary.dir, 'packages/.store')],
    ["the store of packages is another's", () => chownSync(at('packages/.store'), 1, 1)],
    ['the store of packages is writable for all', () => chmodSync(at('packages/.store'), 0o777)],
    ["the worker directory is another's", () => chownSync(at('worker'), 0, 0)],
    ["the packages directory is another's", () => chownSync(at('packages'), 1, 1)],
    ["the base directory is another's", () => chownSync(at('base'), 1, 1)],
    ['the worker directory is writable for a group', () => chmodSync(at('worker'), 0o775)],
    ['the packages directory is writable for all', () => chmodSync(at('packages'), 0o777)],
    ['the root is a link', () => execFileSync('sh', ['-c', 'mv $0 $0.real && ln -s $0.real $0', fixture.dir])],
  ])('HELLO is refused when %s', async (_name, spoil) => {
    const elsewhere = new Fixture({ confPath: installSetuid.conf });
    const { binary } = installSetuid(elsewhere);
    fixture.configure();
    const helper = start({ binary });
    spoil();
    expect((await helper.hello()).code).not.toBe(Code.OK);
    expect((await helper.ended).code).toBeGreaterThanOrEqual(12);
    if (existsSync(`${fixture.dir}.real`)) execFileSync('sh', ['-c', 'rm $0 && mv $0.real $0', fixture.dir]);
    elsewhere.remove();
  });

  it.each<[string, () => void]>([
    ['host', () => link(canary.dir, 'base/host')],
    ['tmp', () => link(canary.dir, 'base/tmp')],
  ])('SLOT is refused when the base contains a link instead of %s', async (_name, spoil) => {
    spoil();
    const helper = start();
    await helper.greet();
    const before = (await helper.diag()).value;
    expect((await helper.slot(1)).code).toBe(Code.SYS);
    expect((await helper.diag()).value).toEqual(before);
  });

  it('a view is refused when the base contains a link instead of packages', async () => {
    link(canary.dir, 'base/packages');
    const helper = start();
    await helper.greet();
    await helper.slot(1);
    const spawned = await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name: ['1', '1'] });
    expect(spawned.code).toBe(Code.SYS);
  });

  const NAMES = [
    '..',
    '.',
    '/',
    '/etc',
    '1/..',
    '../code/1',
    '1/',
    'link',
    'loop',
    'file',
    'absent',
    'a\nb',
    '\x7f',
    'x'.repeat(250),
  ];

  const PLACES = NAMES.flatMap((name) => [['code', name, [name]] as const, ['view', name, ['1', name]] as const]);

  it.each(PLACES)('%s %j is refused by SPAWN, GO and FORK', async (_what, _name, name) => {
    link(join(canary.dir, 'code'), 'worker/code/link');
    link('loop', 'worker/code/loop');
    fixture.write({ 'worker/code/file': '' });
    const helper = start();
    await helper.greet();
    await helper.slot(1);
    expect(REFUSED).toContain((await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name })).code);
    await helper.call('SPAWN', { slot: 1, role: Role.LEAF, flags: 1 });
    expect(REFUSED).toContain((await helper.call('GO', { slot: 1, name })).code);
    await helper.zygote(2);
    await helper.slot(3);
    expect(REFUSED).toContain((await helper.call('FORK', { slot: 3, source: 2, role: Role.LEAF, name })).code);
    for (const slot of [1, 2, 3]) expect((await helper.call('DESTROY', { slot })).code).toBe(Code.OK);
  });

  it.each(NAMES)('%j is refused by REMOVE and as a staging directory', async (name) => {
    link(canary.dir, 'packages/loop');
    const helper = start();
    await helper.greet();
    await helper.slot(1, Pool.INSTALL);
    const spawned = await helper.call('SPAWN', { slot: 1, role: Role.INSTALLER, name: ['', name] });
    expect(REFUSED).toContain(spawned.code);
    if (name === 'link' || name === 'file' || name === 'loop') return; // REMOVE takes links and files away
    for (const area of [Area.CODE, Area.PACKAGES])
      expect(REFUSED).toContain((await helper.call('REMOVE', { arg: [area], name: [name] })).code);
    expect(existsSync(at('worker/code/1/f.py'))).toBe(true);
  });

  it('a staging directory whose files are a link or belong to another user is refused', async () => {
    for (const name of ['a', 'b']) mkdirSync(at(`packages/${name}`));
    link(join(canary.dir, 'files'), 'packages/a/files');
    mkdirSync(at('packages/b/files'));
    const helper = start();
    await helper.greet();
    await helper.slot(1, Pool.INSTALL);
    for (const name of ['a', 'b'])
      expect(REFUSED).toContain((await helper.call('SPAWN', { slot: 1, role: Role.INSTALLER, name: ['', name] })).code);
    expect(statSync(at('packages/b/files')).uid).toBe(0);
  });

  it('REMOVE removes links and keeps their targets', async () => {
    mkdirSync(at('packages/t/sub'), { recursive: true });
    for (const name of ['t/file', 't/sub/dir', 'top'])
      symlinkSync(name === 't/sub/dir' ? canary.dir : join(canary.dir, 'secret'), at(`packages/${name}`));
    symlinkSync('..', at('packages/t/up'));
    const helper = start();
    await helper.greet();
    for (const name of ['t', 'top'])
      expect(await helper.call('REMOVE', { arg: [Area.PACKAGES], name: [name] })).toMatchObject({ code: Code.OK });
    expect(readdirSync(at('packages'))).toEqual(['.store', 'p']);
  });

  it('REMOVE never crosses a mount point that was made before or after the helper started', async () => {
    mkdirSync(at('packages/t/before'), { recursive: true });
    mkdirSync(at('packages/t/after'));
    mkdirSync(at('packages/whole'));
    const script = [
      'mount --bind "$CANARY" "$PACKAGES/t/before"; mount --bind "$CANARY" "$PACKAGES/whole"',
      '(while [ ! -e "$PACKAGES/now" ]; do sleep 0.02; done; mount --bind "$CANARY" "$PACKAGES/t/after"; touch "$PACKAGES/done") &',
      'exec "$@"',
    ].join('\n');
    const helper = start({
      wrapper: ['unshare', '-m', '--propagation', 'private', 'bash', '-c', script, 'bash'],
      args: ['--config', installSetuid.conf],
      env: { CANARY: canary.dir, PACKAGES: at('packages'), PATH: '/usr/bin:/bin' },
    });
    await helper.greet();
    fixture.write({ 'packages/now': '' });
    while (!existsSync(at('packages/done'))) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const name of ['t', 'whole']) await helper.call('REMOVE', { arg: [Area.PACKAGES], name: [name] });
    expect((await helper.diag()).code).toBe(Code.OK);
  });

  describe('while a directory and a link are swapped continuously', () => {
    let swapper: ChildProcess;
    const swap = (name: string, target: string): void => {
      symlinkSync(target, at(`${name}.link`));
      // RENAME_EXCHANGE: the name exists at every moment, and is either the one or the other.
      const script = `import ctypes, sys
libc = ctypes.CDLL(None)
while True: libc.syscall(316, -100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2)`;
      swapper = spawn('/usr/bin/python3', ['-c', script, at(name), at(`${name}.link`)], { stdio: 'ignore' });
    };
    afterEach(() => {
      swapper.kill('SIGKILL');
    });

    it.each(['worker', 'packages', 'base', 'worker/code'])('HELLO opens %s as a directory or fails', async (name) => {
      swap(name, canary.dir);
      const codes = new Set<number>();
      for (let round = 0; round < 25; round++) {
        const helper = start();
        codes.add((await helper.hello()).code);
        await helper.close();
        open.pop();
      }
      for (const code of codes) expect([Code.OK, Code.DENIED, Code.NOENT, Code.SYS]).toContain(code);
    });

    it('SPAWN binds the code directory or fails', async () => {
      swap('worker/code/1', join(canary.dir, 'code'));
      const helper = start();
      await helper.greet();
      for (let round = 0; round < 60; round++) {
        await helper.slot(1);
        const { code } = await helper.call('SPAWN', { slot: 1, role: Role.LEAF, flags: 1, name: ['1'] });
        expect([Code.OK, Code.DENIED, Code.NOENT]).toContain(code);
        expect((await helper.call('DESTROY', { slot: 1 })).code).toBe(Code.OK);
      }
    });

    it('REMOVE removes the tree or the link', async () => {
      const helper = start();
      await helper.greet();
      for (let round = 0; round < 30; round++) {
        fixture.write({ 'packages/t/a/b/c': '', 'packages/t/d': '' });
        rmSync(at('packages/t.link'), { force: true });
        swap('packages/t', canary.dir);
        await helper.call('REMOVE', { arg: [Area.PACKAGES], name: ['t'] });
        await helper.call('REMOVE', { arg: [Area.PACKAGES], name: ['t.link'] });
        swapper.kill('SIGKILL');
        for (const name of ['t', 't.link']) rmSync(at(`packages/${name}`), { recursive: true, force: true });
      }
    });

    it("the staging directory that an installer gets is the caller's directory, or the start fails", async () => {
      fixture.write({ 'packages/s/files/x': '' });
      swap('packages/s/files', join(canary.dir, 'files'));
      const helper = start();
      await helper.greet();
      for (let round = 0; round < 30; round++) {
        await helper.slot(1, Pool.INSTALL);
        await helper.call('SPAWN', { slot: 1, role: Role.INSTALLER, flags: 1, name: ['', 's'] });
        expect((await helper.call('DESTROY', { slot: 1 })).code).toBe(Code.OK);
      }
    });
  });
});
