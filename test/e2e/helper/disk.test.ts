/**
 * Bounds of what a sandbox can write. All writable places are in one scratch, which bounds bytes and files. An
 * installer's staging directory is on the host's disk, and the worker watches its size.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSpace } from '../../../src/packages/install/disk-watch';
import { PackageInstaller } from '../../../src/packages/install/installer';
import { Code, Pool, Role } from '../../../src/helper/protocol';
import { Fixture } from '../../support/helper/fixture';
import { RawHelper } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';
import { Rig } from '../../support/real-sandboxes';

jest.setTimeout(120_000);

const MB = 2 ** 20;
const ENOSPC = 28;
const EOPNOTSUPP = 95;

/** Fills each writable place in turn. Reports the number of bytes and names, and the error at the end. */
const FILL = `import errno, os
CHUNK = b"x" * 65536
# These trees are large and read-only, so only their top directories are tried.
DEEP = ("/usr", "/packages", "/runtime")

def writable():
    found = {}
    for top, dirs, _ in os.walk("/"):
        if top in DEEP:
            dirs.clear()
        probe = os.path.join(top, ".probe")
        try:
            os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            os.unlink(probe)
            found[top] = os.stat(top).st_dev
        except OSError:
            pass
    return found

def fill(path, reserve=False):
    done = 0
    tag = path.replace("/", "-")
    for name in (f"{path}/fill{tag}-{number}" for number in range(10000)):
        try:
            fd = os.open(name, os.O_CREAT | os.O_WRONLY, 0o600)
        except OSError as error:
            return done, error.errno
        try:
            while os.fstat(fd).st_size < 4 << 20:
                if reserve:
                    os.posix_fallocate(fd, os.fstat(fd).st_size, len(CHUNK))
                    done += len(CHUNK)
                else:
                    done += os.write(fd, CHUNK)
        except OSError as error:
            return done, error.errno
        finally:
            os.close(fd)
    return done, 0

def names(path):
    made = 0
    tag = path.replace("/", "-")  # /tmp is also /host/tmp
    makers = [
        lambda name: os.close(os.open(name, os.O_CREAT | os.O_WRONLY)),
        os.mkdir,
        lambda name: os.symlink("x", name),
        os.mkfifo,
        lambda name: os.link(f"{path}/name{tag}-0", name),
    ]
    try:
        for number in range(10000000):
            makers[number % 5](f"{path}/name{tag}-{number}")
            made += 1
    except OSError as error:
        return made, error.errno
    return made, 0

def attributes(path):
    done = 0
    name = f"{path}/fill-attributes"
    try:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
        for number in range(100000):
            os.setxattr(name, f"user.{number}", b"x" * 4096)
            done += 4096
    except OSError as error:
        return done, error.errno
    return done, 0

def clear(path):
    for name in os.listdir(path):
        if name.startswith(("fill-", "name-")):
            whole = f"{path}/{name}"
            os.rmdir(whole) if os.path.isdir(whole) and not os.path.islink(whole) else os.unlink(whole)

def everywhere(skip=()):
    places = writable()
    tried = {place: device for place, device in places.items() if place not in skip}
    result = {"places": places, "shm": os.path.realpath("/dev/shm")}
    for kind, how in (("bytes", fill), ("reserved", lambda path: fill(path, True)), ("names", names), ("attributes", attributes)):
        # All places are filled before any place is cleared: together they must not exceed the limit.
        result[kind] = {place: how(place) for place in tried}
        for place in tried:
            clear(place)
    return result
`;

interface Filled {
  places: Record<string, number>;
  shm: string;
  bytes: Record<string, [number, number]>;
  reserved: Record<string, [number, number]>;
  names: Record<string, [number, number]>;
  attributes: Record<string, [number, number]>;
}

const sum = (all: Record<string, [number, number]>): number =>
  Object.values(all).reduce((total, [count]) => total + count, 0);

describePrivileged('the disk of a sandbox', () => {
  let fixture: Fixture;
  let helper: RawHelper;

  beforeEach(async () => {
    fixture = new Fixture();
    fixture.write({
      'worker/code/1/fill.py': FILL,
      'worker/code/1/f.py': 'import fill\ndef f(event):\n    return fill.everywhere()\n',
      // The zygote's package fills its disk during the import. A child of the zygote reports the result.
      'packages/.store/evil==1/files/evil.py': `${FILL}\nRESULT = everywhere()\n`,
      'worker/code/2/f.py': 'import evil\ndef f(event):\n    return evil.RESULT\n',
      // This code runs in pip's own process.
      'worker/code/3/fill.py': FILL,
      'worker/code/3/sitecustomize.py':
        'import fill, json, sys\nprint("FILLED", json.dumps(fill.everywhere(("/host/files",))))\nsys.stdout.flush()\n',
    });
    helper = new RawHelper(fixture);
    await helper.greet();
  });

  afterEach(async () => {
    await helper.finish();
  });

  /** Compares the report with the scratch of the slot. */
  function judge(text: string, scratchMb: number): void {
    expect(text).toMatch(/^\{/);
    const filled = JSON.parse(text) as Filled;
    expect(Object.keys(filled.bytes)).toEqual(expect.arrayContaining(['/host', '/host/shm', '/tmp']));
    expect(filled.shm).toBe('/host/shm');
    for (const kind of ['bytes', 'reserved', 'names'] as const)
      for (const [place, [, errno]] of Object.entries(filled[kind]))
        expect([kind, place, errno]).toEqual([kind, place, ENOSPC]);
    expect(sum(filled.bytes)).toBeLessThanOrEqual(scratchMb * MB);
    expect(sum(filled.bytes)).toBeGreaterThan(scratchMb * MB * 0.9); // and all of it can be used
    expect(sum(filled.reserved)).toBeLessThanOrEqual(scratchMb * MB);
    // Kernels before 6.6 have no such attributes on a tmpfs. Later kernels count each attribute with the files, 1 KiB
    // each.
    for (const [, errno] of Object.values(filled.attributes)) expect([ENOSPC, EOPNOTSUPP]).toContain(errno);
    expect(sum(filled.attributes)).toBeLessThanOrEqual(((scratchMb * MB) / 4096 + 64) * 1024);
    expect(sum(filled.names)).toBeLessThanOrEqual((scratchMb * MB) / 4096 + 64);
    expect(sum(filled.names)).toBeGreaterThan(((scratchMb * MB) / 4096) * 0.9);
    const devices = new Set(
      Object.entries(filled.places)
        .filter(([place]) => place !== '/host/files')
        .map(([, dev]) => dev),
    );
    expect(devices.size).toBe(1);
  }

  const limits = (scratchMb: number): number[] => [256 * MB, 64, 0, 0, scratchMb * MB];

  it.each([1, 8, 33])('is limited to %i MB in a fresh leaf', async (scratchMb) => {
    await helper.slot(1, Pool.LAMBDA, limits(scratchMb));
    const answer = helper.invoke(1, null, 60_000);
    expect((await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name: ['1'] })).code).toBe(Code.OK);
    judge(await answer, scratchMb);
  });

  it('is limited to the default when the request sets no size', async () => {
    await helper.slot(1, Pool.LAMBDA, limits(0));
    const answer = helper.invoke(1, null, 60_000);
    await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name: ['1'] });
    judge(await answer, 64);
  });

  it("is limited in a forked leaf, independently of its zygote's use", async () => {
    await helper.zygote(1, {}, limits(2));
    for (const slot of [2, 3]) {
      await helper.slot(slot, Pool.LAMBDA, limits(8));
      const answer = helper.invoke(slot, null, 60_000);
      expect((await helper.call('FORK', { slot, source: 1, role: Role.LEAF, name: ['1'] })).code).toBe(Code.OK);
      judge(await answer, 8);
    }
  });

  const evil = { sys_path: ['/runtime/store/evil==1/files'], imports: [{ spec: 'evil==1', modules: ['evil'] }] };

  it('is limited in a zygote and in a forked zygote', async () => {
    await helper.zygote(1, evil, limits(4));
    await helper.slot(2, Pool.LAMBDA, limits(4));
    const ready = helper.exchange(2, { role: 'zygote', ...evil }, '', '\n', 60_000);
    expect((await helper.call('FORK', { slot: 2, source: 1, role: Role.ZYGOTE })).code).toBe(Code.OK);
    expect(await ready).toMatch(/"ok": ?true/);
    for (const [slot, source] of [
      [3, 1],
      [4, 2],
    ] as const) {
      await helper.slot(slot, Pool.LAMBDA, limits(1));
      const answer = helper.invoke(slot, null, 60_000);
      expect((await helper.call('FORK', { slot, source, role: Role.LEAF, name: ['2'] })).code).toBe(Code.OK);
      judge(await answer, 4);
    }
  });

  it('is limited in an installer, except in its staging directory, which has no reservation', async () => {
    fixture.write({ 'packages/.stage/files/none': '' });
    await helper.slot(1, Pool.INSTALL, limits(8));
    const boot = {
      role: 'installer',
      spec: 'x',
      argv: ['--version'],
      target: '/host/files',
      env: { PYTHONPATH: '/handler' },
    };
    const answer = helper.exchange(1, boot, '', '}\n', 60_000);
    const reply = await helper.call('SPAWN', { slot: 1, role: Role.INSTALLER, name: ['3', '.stage'] });
    expect(reply.code).toBe(Code.OK);
    const { output } = JSON.parse(await answer) as { output: string };
    const text = /^FILLED (.*)$/m.exec(output)?.[1] ?? output;
    const filled = JSON.parse(text) as Filled;
    expect(Object.keys(filled.places)).toContain('/host/files');
    judge(text, 8);
  });

  it('refuses a scratch size above the maximum', async () => {
    expect((await helper.slot(1, Pool.LAMBDA, limits(16 * 1024 + 1))).code).toBe(Code.BADREQ);
  });
});

/** This code runs in pip's process. It stops at 600 MB or 100,000 files, so that a failing test does no harm. */
const GREEDY = {
  plainly: `open("/host/files/big", "wb")`,
  'where only it may look': `(os.mkdir("/host/files/own", 0o700), open("/host/files/own/big", "wb"))[1]`,
  'in a file without a name': `open(os.open("/host/files", os.O_TMPFILE | os.O_WRONLY), "wb")`,
};

describePrivileged('the staging directory of an installer', () => {
  let rig: Rig;
  beforeAll(() => {
    rig = new Rig({ ready: 0 });
  });
  afterEach(() => rig.verifyIdle());
  afterAll(() => rig.close());

  /** Installs a package with this code in pip. @returns why the install failed; the install leaves nothing behind */
  async function install(code: string, packageMaxMb: number): Promise<string> {
    const pkgsDir = join(rig.dir, 'packages');
    const attack = join(pkgsDir, '.store/attack');
    mkdirSync(attack, { recursive: true });
    writeFileSync(join(attack, 'sitecustomize.py'), `import os, time\n${code}\ntime.sleep(600)\n`);
    const installer = new PackageInstaller({
      pkgsDir,
      sandbox: rig.installer,
      tool: 'pip',
      packageMaxMb,
      pipEnv: () => Promise.resolve({ PIP_NO_INDEX: '1', PYTHONPATH: '/runtime/store/attack' }),
    });
    const error: unknown = await installer.ensure(['greedy==1.0']).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'INSTALL_FAILED' });
    expect(readdirSync(pkgsDir)).toEqual(['.store']);
    expect(readdirSync(join(pkgsDir, '.store'))).toEqual(['attack']);
    return (error as Error).message;
  }

  it.each(Object.entries(GREEDY))('does not fill the disk %s', async (_how, open) => {
    const code = `f = ${open}\nfor _ in range(600):\n    f.write(b"x" * 2**20)\n    f.flush()\n`;
    expect(await install(code, 32)).toContain('could not install greedy==1.0: it takes more than 32 MB of disk');
  });

  it("does not exhaust the disk's files", async () => {
    if ((await readSpace(rig.dir)).totalFiles === 0) return; // this file system does not count them
    const code = 'for n in range(100000):\n    os.close(os.open(f"/host/files/{n}", os.O_CREAT | os.O_WRONLY))\n';
    expect(await install(code, 8)).toMatch(/it (makes more than 2048 files|takes more than 8 MB of disk)/);
  });

  it('refuses to reserve space for unwritten data', async () => {
    const code = `import errno
fd = os.open("/host/files/big", os.O_CREAT | os.O_RDWR)
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
done = libc.fallocate(fd, 0, ctypes.c_long(0), ctypes.c_long(500 << 20))
print("fallocate", done, errno.errorcode[ctypes.get_errno()], flush=True)
os._exit(3)
`;
    expect(await install(code, 32)).toMatch(/the installer exited with 3\nfallocate -1 (EOPNOTSUPP|ENOTSUP)/);
  });
});
