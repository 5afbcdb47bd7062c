/** No running sandbox owns a package, and a sandbox finds no name of a package that it did not ask for. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { PackageInstaller, type PackageInstallerOptions } from '../../../src/packages/install/installer';
import type { PackageImport, Sandbox } from '../../../src/sandbox/types';
import { hostileEntry, HOSTILE_TREE, judgeCopy } from '../../support/hostile-trees';
import { startTestMirror, type TestMirror } from '../../support/mirror';
import { describePrivileged } from '../../support/privileged';
import { call, Rig } from '../../support/real-sandboxes';
import { until } from '../../support/until';

jest.setTimeout(180_000);

const OWN = 'argyle-sample-tiny==1.0.0';
const ALSO = 'argyle-sample-json==1.0.0';
const OTHER = 'argyle-sample-cost==1.0.0';
const SANDBOX_USER = 64321;
const PROBE = readFileSync(join(__dirname, 'packages_probe.py'), 'utf8');
/** Refusals by the mount, by the owner and by the filter. */
const REFUSED = /^E(ROFS|PERM|ACCES|XDEV|INVAL|NOSYS)$/;
/** The kinds of start of a sandbox. */
const STARTS = ['fresh', 'fork', 'spare'] as const;

describePrivileged('packages of several tenants', () => {
  let mirror: TestMirror;
  let rig: Rig;
  let pkgsDir: string;
  let shared: PackageInstaller;
  let own: PackageImport[];

  const installer = (options: Partial<PackageInstallerOptions> = {}): PackageInstaller =>
    new PackageInstaller({
      pkgsDir,
      sandbox: rig.installer,
      pipMirror: mirror.url,
      pipEnv: () => Promise.resolve({}),
      ...options,
    });
  const placeOf = (spec: string): string => shared.placeOf(spec) ?? 'nowhere';
  const storeOf = (spec: string): string => join(pkgsDir, '.store', placeOf(spec));

  beforeAll(async () => {
    mirror = await startTestMirror();
    const { hostname, port } = new URL(mirror.url);
    rig = new Rig({
      installerEndpoints: [{ host: hostname, port: Number(port) }],
      mode: 'tree',
      tree: {
        packages: [],
        children: [
          { packages: ['argyle-sample-tiny'], children: [] },
          { packages: ['evil'], children: [] },
        ],
      },
    });
    pkgsDir = join(rig.dir, 'packages');
    chmodSync(rig.dir, 0o755); // Pkgs_dir must be the first directory that is closed
    shared = installer();
    rig.placeOf = (spec) => shared.placeOf(spec);
    rig.slots.start();
    rig.zygotes.provider.start();
    own = await shared.ensure([OWN, ALSO]);
    await shared.ensure([OTHER]);
  });

  afterAll(async () => {
    await rig.close();
    await mirror.close();
  });

  /** Starts a function with these packages by one kind of start. */
  async function start(kind: (typeof STARTS)[number], packages = own, code = PROBE): Promise<Sandbox> {
    const spec = rig.leaf(code, packages);
    if (kind === 'fresh') return rig.factory.fresh(spec);
    // The first start leads to the zygote, which has imported a part of the packages.
    const group = () => rig.zygotes.groups.list().find(({ spec }) => spec.pins.length > 0);
    const isReady = (): boolean => group()?.processes.some((process) => process.isReady) ?? false;
    if (!isReady()) await (await rig.zygotes.provider.create(spec)).destroy('warm');
    await until('the zygote is ready', isReady);
    const found = group();
    if (found === undefined) throw new Error('unreachable: it is ready');
    rig.zygotes.groups.setSpares(found, kind === 'spare' ? 1 : 0);
    const spares = (): number => found.processes.reduce((sum, process) => sum + (process.spares?.size ?? 0), 0);
    await until('spares', () => (kind === 'spare' ? spares() > 0 : spares() === 0));
    const sandbox = await rig.zygotes.provider.create(spec);
    expect(sandbox.start).toBe(kind);
    return sandbox;
  }

  async function ask<T>(sandbox: Sandbox, event: object): Promise<T> {
    const { status, body } = await call(sandbox, event, 30_000);
    await sandbox.destroy('asked');
    if (status !== 200) throw new Error(body);
    return JSON.parse(body) as T;
  }

  describe.each(STARTS)('a %s leaf', (kind) => {
    it('sees its own packages and no other package name', async () => {
      const task = { do: 'names', own: OWN, other: OTHER, place: placeOf(OTHER) };
      const found = await ask<Record<string, unknown>>(await start(kind), task);
      expect(found).toEqual({
        packages: expect.arrayContaining([OWN, ALSO]) as unknown,
        own: true,
        other: false,
        'other in the store': false,
        store: 'EACCES',
        'store by descriptor': 'EACCES',
        'store from below': 'EACCES',
        'above the store': ['store'],
        'above the packages': false,
        'own by descriptor': found['packages'],
        'watch the store': 'ENOSYS',
        handle: expect.stringMatching(/^(EPERM|ENOSYS)$/) as unknown,
        mounts: 'ENOENT',
        listmount: expect.stringMatching(/^(EPERM|ENOSYS)$/) as unknown,
        links: [OWN, ALSO].map((spec) => `/runtime/store/${placeOf(spec)}`).sort(),
        environment: [],
        memory: [],
        // The controls: only the name of its place, with 128 random bits, protects a package from others.
        'known place': true,
        'one digit off': false,
      });
      expect(found['packages']).toHaveLength(2);
    });

    it("cannot change its own packages' files or those of other packages, even by their path", async () => {
      const folders = {
        view: `/packages/${OWN}/files`,
        store: `/runtime/store/${placeOf(OWN)}/files`,
        // The control: a file of the sandbox's own.
        own: '/tmp/own',
      };
      const prepare = `${PROBE}
import shutil
_f = f
def f(event):
    shutil.copytree("/packages/${OWN}/files", "/tmp/own")
    return _f(event)
`;
      type Changes = Record<string, string | boolean>;
      const done = await ask<Record<string, Changes>>(await start(kind, own, prepare), { do: 'change', folders });
      for (const place of ['view', 'store']) {
        const { read, ...changes } = done[place] ?? {};
        expect(read).toBe(true);
        expect(Object.values(changes).filter((result) => !REFUSED.test(String(result)))).toEqual([]);
        expect(Object.keys(changes)).toHaveLength(13);
      }
      expect(done['own']).toMatchObject({
        write: 'ok',
        make: 'ok',
        mode: 'ok',
        owner: 'ok',
        remove: 'ok',
        notify: 'EINVAL',
      });
      expect(readFileSync(join(storeOf(OWN), 'files/argyle_sample_tiny/__init__.py'), 'utf8')).not.toContain('changed');
    });
  });

  it('a package in a zygote sees itself and no other package name', async () => {
    const place = 'e'.repeat(32);
    const files = join(pkgsDir, '.store', place, 'files');
    mkdirSync(files, { recursive: true });
    const task = { own: 'evil==1', other: OTHER, place: placeOf(OTHER) };
    writeFileSync(join(files, 'evil.py'), `${PROBE}\nRESULT = names(${JSON.stringify(task)})\n`);
    rig.placeOf = (spec) => (spec === 'evil==1' ? place : shared.placeOf(spec));
    const packages = [{ spec: 'evil==1', modules: ['evil'] }];
    const spec = rig.leaf('import evil\n\ndef f(event):\n    return evil.RESULT\n', packages);
    const evil = () => rig.zygotes.groups.list().find(({ spec: { pins } }) => pins.includes('evil==1'));
    await (await rig.zygotes.provider.create(spec)).destroy('warm');
    await until('the zygote is ready', () => evil()?.processes.some(({ isReady }) => isReady) ?? false);
    const sandbox = await rig.zygotes.provider.create(spec);
    expect(sandbox.start).not.toBe('fresh');
    const found = await ask<Record<string, unknown>>(sandbox, {});
    expect(found).toMatchObject({
      packages: ['evil==1'],
      own: true,
      other: false,
      'other in the store': false,
      store: 'EACCES',
      'store by descriptor': 'EACCES',
      'store from below': 'EACCES',
      links: [`/runtime/store/${place}`],
      memory: [],
      // The control.
      'known place': true,
    });
    rig.placeOf = (name) => shared.placeOf(name);
  });

  it('functions with different packages have different views; equal packages share one view', async () => {
    const listing = 'import os\ndef f(event):\n    return sorted(os.listdir("/packages"))\n';
    const views = await Promise.all(
      [[OWN], [OTHER, OWN], [OWN, OTHER]].map(async (specs) => {
        const packages = await shared.ensure(specs);
        return ask(await rig.factory.fresh(rig.leaf(listing, packages)), {});
      }),
    );
    expect(views).toEqual([[OWN], [OTHER, OWN].sort(), [OTHER, OWN].sort()]);
    const made = readdirSync(join(rig.dir, 'worker/code')).filter((name) => name.startsWith('packages-'));
    // Views of [OWN], of both packages, of the packages of the other tests, and of the zygote above. The other tenant's
    // view also contains [OWN].
    expect(made.length).toBeLessThanOrEqual(4);
  });

  it('a function without packages sees no package', async () => {
    const code = 'import os\ndef f(event):\n    return [os.listdir("/packages"), os.path.exists(event["path"])]\n';
    const probe = (path: string, packages: PackageImport[]) =>
      rig.factory.fresh(rig.leaf(code, packages)).then((sandbox) => ask(sandbox, { path }));
    expect(await probe(`/packages/${OWN}`, [])).toEqual([[], false]);
    expect(await probe(`/packages/${OWN}`, own)).toEqual([expect.any(Array), true]);
  });

  describe('on the host', () => {
    const as = (user: number, ...command: string[]): string => {
      const ids = ['--reuid', String(user), '--regid', String(user), '--clear-groups'];
      const { status, stdout, stderr } = spawnSync('setpriv', [...ids, ...command], { encoding: 'utf8' });
      return status === 0 ? stdout.trim() : stderr;
    };

    it('other users can reach neither installed packages nor running installs', () => {
      const stage = join(pkgsDir, '.stage-0-known');
      mkdirSync(stage);
      writeFileSync(join(stage, 'tool'), '#!/bin/sh\necho reached\n', { mode: 0o755 });
      const paths = [pkgsDir, storeOf(OWN), `${storeOf(OWN)}/argyle.json`, stage, join(pkgsDir, OWN)];
      for (const user of [SANDBOX_USER, 65534]) {
        for (const path of paths) expect(as(user, 'ls', path)).toContain('Permission denied');
        expect(as(user, join(stage, 'tool'))).toContain('Permission denied');
      }
      // The control: the files exist, so the way to them is closed.
      for (const path of paths) expect(existsSync(path)).toBe(true);
      chmodSync(pkgsDir, 0o711);
      expect(as(65534, join(stage, 'tool'))).toBe('reached');
      chmodSync(pkgsDir, 0o700);
      execFileSync('rm', ['-rf', stage]);
    });

    it("the sandboxes' user can take no lease on a published file, even without a filter", () => {
      const lease = `import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
os.setgroups([]); os.setgid(${SANDBOX_USER}); os.setuid(${SANDBOX_USER})
try:
    fcntl.fcntl(fd, 1024, fcntl.F_WRLCK)
    print("taken")
except OSError as error:
    print(error.errno)
`;
      const take = (path: string): string =>
        execFileSync('/usr/bin/python3', ['-c', lease, path], { encoding: 'utf8' }).trim();
      const file = join(storeOf(OWN), 'files/argyle_sample_tiny/__init__.py');
      expect(take(file)).toBe('13');
      // The control: a file that the process owns, as packages were stored before.
      const before = join(rig.dir, 'before.py');
      writeFileSync(before, '');
      execFileSync('chown', [String(SANDBOX_USER), before]);
      expect(take(before)).toBe('taken');
    });
  });

  describe('an installer', () => {
    const attack = (): string => join(pkgsDir, '.store/attack');
    /** Runs this code as pip in an installer. The code leaves a directory that counts as a package. */
    async function install(spec: string, code: string): Promise<{ files: string; output: string }> {
      const [name = '', version = ''] = spec.split('==');
      mkdirSync(join(attack(), 'pip'), { recursive: true });
      writeFileSync(join(attack(), 'packages_probe.py'), PROBE);
      writeFileSync(join(attack(), 'hostile_tree.py'), readFileSync(HOSTILE_TREE));
      writeFileSync(join(attack(), 'pip/__init__.py'), '');
      writeFileSync(
        join(attack(), 'pip/__main__.py'),
        `import json, os, sys
FILES = "/host/files"
os.makedirs(f"{FILES}/${name}-${version}.dist-info")
open(f"{FILES}/${name}-${version}.dist-info/METADATA", "w").write("Metadata-Version: 2.1\\nName: ${name}\\nVersion: ${version}\\n")
def tell(value):
    json.dump(value, open(f"{FILES}/told.json", "w"))
${code}
`,
      );
      const env = { PYTHONPATH: '/runtime/store/attack' };
      const made = installer({ tool: 'pip', pipEnv: () => Promise.resolve(env) });
      await made.ensure([spec]);
      const files = join(pkgsDir, spec, 'files');
      const told = join(files, 'told.json');
      return { files, output: existsSync(told) ? readFileSync(told, 'utf8') : '' };
    }

    it('publishes no setuid program, and only files of the worker', async () => {
      const { files, output } = await install(
        'setuid==1.0',
        `import shutil
shutil.copy("/usr/bin/id", f"{FILES}/id")
os.chmod(f"{FILES}/id", 0o6755)
tell(os.stat(f"{FILES}/id").st_mode & 0o7777)`,
      );
      // The control: in its own directory the file had the bits, which this mount ignores.
      expect(JSON.parse(output)).toBe(0o6755);
      const { mode, uid } = statSync(join(files, 'id'));
      expect([mode & 0o7777, uid]).toEqual([0o755, process.getuid?.()]);
      const found = execFileSync('find', [pkgsDir, '-perm', '/7022', '!', '-type', 'l'], { encoding: 'utf8' });
      expect(found).toBe('');
    });

    it('can change neither a published package nor another install', async () => {
      const secret = join(pkgsDir, '.stage-0-other');
      mkdirSync(join(secret, 'files'), { recursive: true });
      const { output } = await install(
        'meddler==1.0',
        `import packages_probe as p
packages_probe = p
p.os.makedirs(f"{FILES}/argyle_sample_tiny")
open(f"{FILES}/argyle_sample_tiny/__init__.py", "w").write("x")
tell({
    "published": p.change("/runtime/store/${placeOf(OWN)}/files"),
    "own": p.change(FILES),
    "stages": [p.said(os.listdir, path) for path in (
        "/host/..", "/runtime/store/../.stage-0-other", "/packages", "/host/files/../../packages/.stage-0-other")],
    "store": p.said(os.listdir, "/runtime/store"),
})`,
      );
      execFileSync('rm', ['-rf', secret]);
      const {
        published,
        own: mine,
        stages,
        store,
      } = JSON.parse(output) as {
        published: Record<string, string | boolean>;
        own: Record<string, string | boolean>;
        stages: unknown[];
        store: string;
      };
      const { read, ...changes } = published;
      expect(read).toBe(true);
      expect(Object.values(changes).filter((result) => !REFUSED.test(String(result)))).toEqual([]);
      expect(mine).toMatchObject({ write: 'ok', make: 'ok', mode: 'ok', owner: 'ok', remove: 'ok' });
      expect(stages.flat()).not.toContain('.stage-0-other');
      expect(stages.slice(1)).toEqual(['ENOENT', [], 'ENOENT']);
      expect(store).toBe('EACCES');
    });

    it('publishes only plain files, whatever tree it leaves', async () => {
      let serial = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(hostileEntry, { minLength: 5, maxLength: 30 }), async (entries) => {
          const spec = `tree-${++serial}==1.0`;
          const { files } = await install(
            spec,
            `import hostile_tree
os.mkdir(f"{FILES}/tree")
hostile_tree.make(f"{FILES}/tree", json.loads(${JSON.stringify(JSON.stringify(entries))}))
tell(sorted(os.listdir(os.fsencode(FILES + "/tree")), key=repr).__repr__())`,
          );
          expect(judgeCopy(files, files, process.getuid?.() ?? 0)).toEqual([]);
          // The control: the code left a file.
          expect(existsSync(join(files, 'tree'))).toBe(true);
        }),
        { numRuns: 12 },
      );
    });

    it('leaves no running process when its files are read', async () => {
      const { output, files } = await install(
        'lingering==1.0',
        `pid = os.fork()
if pid == 0:
    os.setsid()
    os.closerange(0, 3)
    import time
    fd = os.open(f"{FILES}/late", os.O_CREAT | os.O_RDWR)
    while True:
        os.pwrite(fd, b"x" * 4096, 0)
        os.ftruncate(fd, 0)
        time.sleep(0.0001)
tell("left")`,
      );
      expect(output).toBe('"left"');
      const first = statSync(join(files, 'late'));
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(statSync(join(files, 'late'))).toMatchObject({ mtimeMs: first.mtimeMs, size: first.size });
    });
  });
});
