/** Zygotes that import the submodules that handlers were seen to use, with the real helper. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Rig, call, whyNoHelper } from '../support/real-sandboxes';
import { until } from '../support/until';
import type { LeafSpec, PackageImport, Sandbox } from '../../src/sandbox/types';

const real = whyNoHelper() === undefined || process.env.ARGYLE_MUST_WORK !== undefined ? describe : describe.skip;

const TREE = { packages: [], children: [{ packages: ['alpha'], children: [{ packages: ['beta'], children: [] }] }] };
const FILES = {
  'alpha/__init__.py': '',
  'alpha/image.py': 'import alpha.mode\nimport time\ntime.sleep(0.05)\n',
  'alpha/mode.py': '',
  'alpha/plugin.py': '',
  'alpha/unused.py': '',
  // This module can be imported only in a handler.
  'alpha/needs_handler.py': 'import sys\nif "f" not in sys.modules:\n    raise RuntimeError("no handler")\n',
  'alpha/threads.py': 'import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n',
};
/**
 * A handler that reports the modules that were imported before its first statement, apart from those of `uses` and
 * `later`.
 */
const handler = (uses: string, later = 'pass'): string =>
  `import sys\nbefore = sorted(sys.modules)\n${uses}\ndef f(event):\n    ${later}\n    return before\n`;

real('submodules', () => {
  jest.setTimeout(60_000);
  let rig: Rig;
  const groupOf = (id: string) => rig.zygotes.groups.get(id);
  const readyPids = (id: string): number[] =>
    (groupOf(id)?.processes ?? []).filter(({ isReady }) => isReady).map(({ slot }) => slot.pid);
  const ready = (id: string): Promise<void> => until(`zygote ${id}`, () => readyPids(id).length > 0);
  const renewed = (id: string, old: number[]): Promise<void> =>
    until(`another zygote ${id}`, () => readyPids(id).length > 0 && !readyPids(id).some((pid) => old.includes(pid)));

  function addAlpha(): PackageImport {
    for (const [name, text] of Object.entries(FILES)) {
      const file = join(rig.dir, 'packages/.store/alpha==1.1/files', name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
    return rig.packageOf('alpha==1.1');
  }

  async function forked(spec: LeafSpec): Promise<{ sandbox: Sandbox; before: string[] }> {
    const sandbox = await rig.zygotes.provider.create(spec);
    const { status, body } = await call(sandbox);
    expect([status, body]).toEqual([200, expect.any(String)]);
    return { sandbox, before: JSON.parse(body) as string[] };
  }

  async function start(spares = 0): Promise<PackageImport> {
    rig = new Rig({ mode: 'tree', tree: TREE, spares });
    rig.slots.start();
    rig.zygotes.provider.start();
    await ready('');
    return addAlpha();
  }

  afterEach(() => rig.finish());

  it('that a handler uses, even late, are in the next zygote', async () => {
    const alpha = await start();
    const spec = rig.leaf(handler('from alpha import image', 'import alpha.plugin'), [alpha]);
    await forked(spec);
    await ready('alpha==1.1');
    const old = readyPids('alpha==1.1');
    const { sandbox, before } = await forked(spec);
    expect(sandbox.parentPid).toBe(old[0]);
    expect(before).toContain('alpha');
    expect(before).not.toContain('alpha.image');
    await renewed('alpha==1.1', old);
    const next = await forked(spec);
    expect(readyPids('alpha==1.1')).toContain(next.sandbox.parentPid);
    expect(next.before).toEqual(expect.arrayContaining(['alpha.image', 'alpha.mode', 'alpha.plugin']));
    expect(next.before).not.toContain('alpha.unused');
    // The old zygote's last leaf still answers. The old zygote ends with it.
    expect((await call(sandbox)).status).toBe(200);
    await sandbox.destroy('done');
    await until('the old zygote is gone', () => groupOf('alpha==1.1')?.processes.length === 1);
  });

  it('reach spares, and descendants of the renewed zygote', async () => {
    const alpha = await start(1);
    const beta = rig.addPackage('beta==2.1', 'VALUE = 1\n');
    const plain = rig.leaf(handler('import beta'), [alpha, beta]);
    await forked(plain);
    const below = 'alpha==1.1,beta==2.1';
    await ready(below);
    const old = [readyPids('alpha==1.1'), readyPids(below)] as const;
    const spec = rig.leaf(handler('from alpha import image'), [alpha]);
    await forked(spec);
    await renewed('alpha==1.1', old[0]);
    await renewed(below, old[1]);
    expect((await forked(plain)).before).toContain('alpha.image');
    await until('a spare of the new one', () => {
      const [zygote] = groupOf('alpha==1.1')?.processes.filter(({ isReady }) => isReady) ?? [];
      return zygote?.spares?.size === 1;
    });
    const next = await forked(spec);
    expect(next.sandbox.start).toBe('spare');
    expect(next.before).toContain('alpha.image');
  });

  it('that fail by themselves, or that a handler invented, are left out', async () => {
    const alpha = await start();
    const forged =
      'import alpha.needs_handler\nfrom alpha import image\nfake = type(sys)("alpha.fake")\n' +
      'fake.__file__ = "/packages/alpha==1.1/files/../../handler/f.py"\nsys.modules["alpha.fake"] = fake\n' +
      'sys.modules["os.fake"] = sys.modules["f.fake"] = fake\n';
    const spec = rig.leaf(handler(forged), [alpha]);
    await forked(spec);
    await ready('alpha==1.1');
    const old = readyPids('alpha==1.1');
    await forked(spec);
    await renewed('alpha==1.1', old);
    const { before } = await forked(spec);
    expect(before).toContain('alpha.image');
    for (const name of ['alpha.needs_handler', 'alpha.fake', 'os.fake']) expect(before).not.toContain(name);
    expect(rig.zygotes.tracker.packages.excluded.size).toBe(0);
  });

  it("that start threads exclude only the package's submodules from zygotes", async () => {
    const alpha = await start();
    const spec = rig.leaf(handler('import alpha.threads\nfrom alpha import image'), [alpha]);
    await forked(spec);
    await ready('alpha==1.1');
    await forked(spec);
    await until('the renewal has failed', () => rig.logs.some((line) => line.includes('threads and cannot be forked')));
    const { sandbox, before } = await forked(spec);
    expect(sandbox.start).toBe('fork');
    expect(before).toContain('alpha');
    expect(before).not.toContain('alpha.image');
    expect(rig.zygotes.tracker.packages.excluded.size).toBe(0);
  });
});
