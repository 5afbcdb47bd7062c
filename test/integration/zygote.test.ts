import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LIMITS, Rig, call, whyNoHelper, type RigOptions } from '../support/real-sandboxes';
import { until } from '../support/until';
import { ArgyleError } from '../../src/errors';
import type { Slot } from '../../src/sandbox/slot/slot';
import type { Sandbox } from '../../src/sandbox/types';

const real = whyNoHelper() === undefined || process.env.ARGYLE_MUST_WORK !== undefined ? describe : describe.skip;

const USES = (...modules: string[]): string =>
  `import sys\nbefore = set(sys.modules)\n${modules.map((name) => `import ${name}\n`).join('')}` +
  'def f(event):\n    return {"ahead": sorted(before), "path": sys.path}\n';
const TREE = {
  packages: [],
  children: [{ packages: ['alpha'], children: [{ packages: ['beta'], children: [] }] }],
};
const MANY_THREADS = 'import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n';

/** Processes in the cgroups of a process: the v2 cgroup, and the cgroups of the remaining v1 controllers. */
function processesBesides(pid: number): number[][] {
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n').reverse();
  const hybrid = existsSync('/sys/fs/cgroup/unified');
  return lines.flatMap((line) => {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    const limits = controllers.split(',').find((name) => ['memory', 'pids', 'cpu'].includes(name));
    if (controllers !== '' && limits === undefined) return [];
    const mount = controllers === '' ? (hybrid ? 'unified' : '') : (limits ?? '');
    const text = readFileSync(join('/sys/fs/cgroup', mount, path, 'cgroup.procs'), 'utf8');
    return [
      text
        .trim()
        .split('\n')
        .map(Number)
        .sort((a, b) => a - b),
    ];
  });
}

/** The memory limit of a process's cgroup in bytes, by the v1 or v2 controller. */
function memoryLimit(pid: number): number {
  const text = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
  const v1 = /^\d+:memory:(.*)$/m.exec(text)?.[1];
  if (v1 !== undefined) return Number(readFileSync(`/sys/fs/cgroup/memory${v1}/memory.limit_in_bytes`, 'utf8'));
  return Number(readFileSync(`/sys/fs/cgroup${/^0::(.*)$/m.exec(text)?.[1] ?? ''}/memory.max`, 'utf8'));
}

async function ahead(sandbox: Sandbox): Promise<string[]> {
  const { status, body } = await call(sandbox);
  expect(status).toBe(200);
  return (JSON.parse(body) as { ahead: string[] }).ahead;
}

real('zygotes with the real helper', () => {
  jest.setTimeout(30_000);
  let rig: Rig;
  const start = async (options: RigOptions): Promise<Rig> => {
    rig = new Rig({ tree: TREE, ...options });
    rig.slots.start();
    rig.zygotes.provider.start();
    if (options.mode === 'tree') await ready('');
    return rig;
  };
  const ready = (id: string): Promise<void> =>
    until(`zygote "${id}"`, () => rig.zygotes.groups.get(id)?.processes.some(({ isReady }) => isReady) ?? false);
  const rootPid = (id: string): number => rig.zygotes.groups.get(id)?.processes[0]?.slot.pid ?? -1;

  afterEach(() => rig.finish());

  it('fork a leaf, and make the better zygote for the next leaf', async () => {
    await start({ mode: 'tree' });
    const packages = [rig.addPackage('alpha==1.1', 'VALUE = 1\n'), rig.addPackage('beta==2.1', 'import alpha\n')];
    const first = await rig.zygotes.provider.create(rig.leaf(USES('alpha', 'beta'), packages));
    expect([first.start, first.parentPid]).toEqual(['fork', rootPid('')]);
    expect(await ahead(first)).not.toContain('alpha');
    await ready('alpha==1.1,beta==2.1');
    const second = await rig.zygotes.provider.create(rig.leaf(USES('alpha', 'beta'), packages));
    expect([second.start, second.parentPid]).toEqual(['fork', rootPid('alpha==1.1,beta==2.1')]);
    expect(await ahead(second)).toEqual(expect.arrayContaining(['alpha', 'beta']));
    const report = rig.zygotes.provider.report();
    expect(report.zygotes.map(({ id, parent, packages: own }) => [id, parent, own])).toEqual([
      ['', null, []],
      ['alpha==1.1', '', ['alpha==1.1']],
      ['alpha==1.1,beta==2.1', 'alpha==1.1', ['beta==2.1']],
    ]);
  });

  it('are accompanied by fresh processes when they have no free id for a child', async () => {
    // The smallest range: a zygote that is forked from the root has ids for 15 children.
    await start({ mode: 'tree', spares: 0, poolMb: 10_000, ids: '1989000000 8192' });
    const spec = rig.leaf(USES('alpha'), [rig.addPackage('alpha==1.1', 'VALUE = 1\n')]);
    await rig.zygotes.provider.create(spec);
    await ready('alpha==1.1');
    const made: Sandbox[] = [];
    for (let i = 0; i < 17; i++) {
      made.push(await rig.zygotes.provider.create(spec));
      expect((await call(made[i] as Sandbox)).status).toBe(200);
    }
    expect(made.map(({ start: kind }) => kind)).toEqual([...Array<string>(15).fill('fork'), 'fresh', 'fresh']);
    const { parentPid } = made[0] as Sandbox;
    expect(parentPid).toBe(rootPid('alpha==1.1'));
    await made[3]?.destroy('test');
    const next = await rig.zygotes.provider.create(spec);
    expect([next.start, next.parentPid]).toEqual(['fork', parentPid]);
  });

  it('survive the memory that many living leaves allocated before they joined their cgroups', async () => {
    await start({ mode: 'tree', zygoteMb: 56, poolMb: 10_000, tree: { packages: [], children: [] } });
    const spec = rig.leaf(USES());
    const parents = new Set<number | undefined>();
    // On hybrid hosts some 0.4 MB of each leaf stays charged to the zygote.
    for (let made = 0; made < 160; made++) {
      const sandbox = await rig.zygotes.provider.create(spec);
      parents.add(sandbox.parentPid);
      expect((await call(sandbox)).status).toBe(200);
    }
    expect([...parents]).toEqual([rootPid('')]);
  });

  it("confine their leaves and the leaves' immediate children to limits of their own", async () => {
    await start({ mode: 'tree', spares: 1 });
    const forks =
      'import os, time\nfor _ in range(5):\n    if os.fork() == 0:\n        time.sleep(60)\n        os._exit(0)\n';
    const spec = rig.leaf(forks + USES());
    const forked = await rig.zygotes.provider.create(spec);
    await until('a spare', () => rig.zygotes.groups.get('')?.processes[0]?.spares?.size === 1);
    const spare = await rig.zygotes.provider.create(spec);
    expect([forked.start, spare.start]).toEqual(['fork', 'spare']);
    for (const sandbox of [forked, spare]) {
      await ahead(sandbox);
      // On hybrid hosts the guest joins the cgroups for memory, pids and cpu while it already runs.
      await until('all in one place', () => {
        const [v2, ...limited] = processesBesides(sandbox.pid);
        return v2?.length === 6 && limited.every((pids) => pids.join() === v2.join());
      });
      expect((await sandbox.usage()).pids).toBe(6);
    }
  });

  it('give their leaves the signals, children and descriptors of a fresh process', async () => {
    const code = `import fcntl, os, signal
def f(event):
    flags = [[fcntl.fcntl(fd, fcntl.F_GETFD), fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK] for fd in (3, 4)]
    return [int(signal.getsignal(signal.SIGCHLD)), os.waitstatus_to_exitcode(os.system("exit 3")), flags]
`;
    await start({ mode: 'tree' });
    const leaf = await rig.zygotes.provider.create(rig.leaf(code, []));
    expect(leaf.start).toBe('fork');
    const closedByExec = [1, 0];
    expect(JSON.parse((await call(leaf)).body)).toEqual([0, 3, [closedByExec, closedByExec]]);
  });

  it('serve only functions that require every imported package', async () => {
    await start({ mode: 'tree' });
    const alpha1 = rig.addPackage('alpha==1.1', 'VALUE = 1\n');
    const alpha2 = rig.addPackage('alpha==2.1', 'VALUE = 2\n');
    await rig.zygotes.provider.create(rig.leaf(USES('alpha'), [alpha1]));
    await ready('alpha==1.1');
    const other = await rig.zygotes.provider.create(rig.leaf(USES('alpha'), [alpha2]));
    expect(other.parentPid).toBe(rootPid(''));
    const none = await rig.zygotes.provider.create(rig.leaf(USES()));
    expect(none.parentPid).toBe(rootPid(''));
    expect(await ahead(none)).not.toContain('alpha');
    await ready('alpha==2.1');
    const same = await rig.zygotes.provider.create(rig.leaf(USES('alpha'), [alpha2]));
    expect(same.parentPid).toBe(rootPid('alpha==2.1'));
  });

  it('keep spares, which start without a fork', async () => {
    await start({ mode: 'tree', spares: 2 });
    const first = await rig.zygotes.provider.create(rig.leaf(USES()));
    expect(first.start).toBe('fork');
    await until('spares', () => rig.zygotes.groups.get('')?.processes[0]?.spares?.size === 2);
    const forks = rig.stats.snapshot()['fork().cnt'];
    const second = await rig.zygotes.provider.create(rig.leaf(USES(), [], { memMb: 60 }));
    expect([second.start, second.parentPid]).toEqual(['spare', rootPid('')]);
    expect((await call(second)).status).toBe(200);
    // GO can set another limit than the spare was made with.
    await until('a limit of its own', () => memoryLimit(second.pid) === 60 * 1024 * 1024);
    expect(rig.stats.snapshot()['fork().cnt']).toBe(forks);
    await until('a new spare', () => rig.zygotes.groups.get('')?.processes[0]?.spares?.size === 2);
  });

  it('give a leaf its own scratch size, whatever spares exist', async () => {
    const source =
      "import os\ndef f(event):\n    s = os.statvfs('/tmp')\n    return s.f_blocks * s.f_frsize // 1024 // 1024\n";
    await start({ mode: 'tree', spares: 1 });
    await rig.zygotes.provider.create(rig.leaf(source));
    await until('a spare', () => rig.zygotes.groups.get('')?.processes[0]?.spares?.size === 1);
    await until('slots', () => rig.slots.ready === 4);
    for (const scratchMb of [8, 40]) {
      const leaf = await rig.zygotes.provider.create(rig.leaf(source, [], { scratchMb }));
      expect([leaf.start, (await call(leaf)).body]).toEqual(['fork', String(scratchMb)]);
      const fresh = await rig.factory.fresh(rig.leaf(source, [], { scratchMb }));
      expect((await call(fresh)).body).toBe(String(scratchMb));
    }
    // Slots that were made ahead stay for the sandboxes that fit them.
    expect(rig.slots.ready).toBe(4);
    expect((await rig.zygotes.provider.create(rig.leaf(source))).start).toBe('spare');
  });

  it('have spares that are warmed up, so a first request finds its memory ready', async () => {
    await start({ mode: 'tree', spares: 1 });
    const faults = (pid: number): number => Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[9]);
    await (await rig.zygotes.provider.create(rig.leaf(USES()))).destroy('only to warm its zygote');
    const zygote = rig.zygotes.groups.get('')?.processes[0];
    await until('a spare', () => zygote?.spares?.size === 1);
    const spare = zygote?.spares?.take(LIMITS);
    if (zygote === undefined || spare === undefined) throw new Error('no spare');
    const { slot, lease } = spare;
    await until('the rehearsal', () => faults(slot.pid) > 400);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const before = faults(slot.pid);
    const source =
      'import os, sys\ndef f(event):\n    return [sorted(os.environ), sys.path[0], [name for name in ("_warm", "_argyle_sample") if name in sys.modules]]\n';
    const leaf = await rig.factory.go(slot, rig.leaf(source), zygote.slot.pid, lease);
    const { body } = await call(leaf);
    // About 20 faults are expected.
    expect(faults(slot.pid) - before).toBeLessThan(120);
    expect(JSON.parse(body)).toEqual([expect.not.arrayContaining(['ARGYLE_WARM']), '/handler', []]);
  });

  it('are not made of packages that start threads or fail', async () => {
    await start({ mode: 'tree' });
    const alpha = rig.addPackage('alpha==1.1', 'VALUE = 1\n');
    for (const [spec, source] of [
      ['beta==1.1', MANY_THREADS],
      ['beta==2.1', 'raise RuntimeError("no")\n'],
    ] as const) {
      const beta = rig.addPackage(spec, source);
      await rig.zygotes.provider.create(rig.leaf(USES('alpha'), [alpha, beta]));
      await until('the verdict', () => rig.zygotes.tracker.packages.excluded.has(spec));
      await ready('alpha==1.1');
      const sandbox = await rig.zygotes.provider.create(rig.leaf(USES('alpha'), [alpha, beta]));
      expect(sandbox.parentPid).toBe(rootPid('alpha==1.1'));
      expect((await call(sandbox)).status).toBe(200);
    }
    expect(rig.zygotes.tracker.packages.excluded.get('beta==1.1')).toMatch(/threads/);
    expect(rig.zygotes.tracker.packages.excluded.get('beta==2.1')).toMatch(/RuntimeError/);
  });

  it('are retired when they start threads later', async () => {
    await start({ mode: 'tree' });
    const late =
      'import signal, threading, time\ndef go(*_):\n    threading.Thread(target=time.sleep, args=(99,), daemon=True).start()\nsignal.signal(signal.SIGALRM, go)\nsignal.setitimer(signal.ITIMER_REAL, 0.3)\n';
    const alpha = rig.addPackage('alpha==1.1', late);
    await rig.zygotes.provider.create(rig.leaf(USES(), [alpha]));
    await ready('alpha==1.1');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await rig.zygotes.groups.refresh();
    expect(rig.zygotes.tracker.packages.excluded.get('alpha==1.1')).toMatch(/2 threads/);
    expect((await rig.zygotes.provider.create(rig.leaf(USES(), [alpha]))).parentPid).toBe(rootPid(''));
  });

  it('are replaced after kill -9, which also ends their forks', async () => {
    await start({ mode: 'tree' });
    const sandbox = await rig.zygotes.provider.create(rig.leaf(USES()));
    const pid = rootPid('');
    process.kill(pid, 'SIGKILL');
    await sandbox.life.exited;
    await expect(call(sandbox)).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
    const fresh = await rig.zygotes.provider.create(rig.leaf(USES()));
    expect((await call(fresh)).status).toBe(200);
    await ready('');
    expect(rootPid('')).not.toBe(pid);
    expect((await rig.zygotes.provider.create(rig.leaf(USES()))).start).toBe('fork');
  });

  it('continue to serve when their usage cannot be read', async () => {
    await start({ mode: 'tree' });
    const process = rig.zygotes.groups.get('')?.processes[0];
    if (process === undefined) throw new Error('no zygote');
    jest.spyOn(process.slot, 'usage').mockRejectedValueOnce(new ArgyleError('HELPER_GONE', 'it ended'));
    await rig.zygotes.groups.refresh();
    expect(process.isReady).toBe(true);
  });

  it('are made again after a failed fork, even if the next one is killed while it is made', async () => {
    await start({ mode: 'tree' });
    await rig.zygotes.provider.create(rig.leaf(USES()));
    await ready('');
    const { groups } = rig.zygotes;
    const group = groups.get('');
    const old = group?.processes[0];
    if (group === undefined || old === undefined) throw new Error('no zygote');
    const taken = jest.spyOn(rig.slots, 'take');
    groups.replace(group, old);
    await until('its slot', () => taken.mock.results.length > 0);
    const slot = (await taken.mock.results[0]?.value) as Slot;
    await until('its process', () => slot.pid > 0);
    process.kill(slot.pid, 'SIGKILL');
    await until('its failure', () => group.failures > 0);
    await ready('');
    expect(group.failures).toBe(0);
  });

  it('give their memory back when others need it', async () => {
    await start({ mode: 'tree', spares: 2, poolMb: 120 });
    const first = await rig.zygotes.provider.create(rig.leaf(USES()));
    await until('spares', () => rig.zygotes.groups.get('')?.processes[0]?.spares?.size === 2);
    await first.destroy('make room');
    const large = await rig.factory.fresh(rig.leaf(USES(), [], { memMb: 115 }));
    expect((await call(large)).status).toBe(200);
    expect(rig.zygotes.provider.report().zygotes).toEqual([]);
  });

  it('are made by the popularity policy', async () => {
    await start({ mode: 'popularity' });
    const slow = 'import time\ntime.sleep(0.05)\n';
    const packages = [rig.addPackage('alpha==1.1', slow), rig.addPackage('beta==2.1', slow)];
    for (let round = 0; round < 4; round++) {
      const sandbox = await rig.zygotes.provider.create(rig.leaf(USES('alpha', 'beta'), packages));
      await call(sandbox);
      await sandbox.destroy('next');
    }
    await until(
      'a zygote',
      () => rig.zygotes.groups.get('alpha==1.1,beta==2.1')?.processes[0]?.isReady ?? false,
      15_000,
    );
    const sandbox = await rig.zygotes.provider.create(rig.leaf(USES('alpha', 'beta'), packages));
    expect(await ahead(sandbox)).toEqual(expect.arrayContaining(['alpha', 'beta']));
  });

  it('report cold starts, waits for memory and evictions to the policy', async () => {
    await start({ mode: 'tree', poolMb: 200 });
    const { tracker, provider } = rig.zygotes;
    const observe = jest.spyOn(tracker, 'observe');
    const evicted = jest.spyOn(tracker, 'evicted');
    const slow = 'import time\ntime.sleep(0.02)\ndef f(event):\n    time.sleep(1)\n    return 1\n';
    const sandbox = await provider.create(rig.leaf(slow));
    await call(sandbox);
    // The 20 ms of the import count. The handler's second does not count.
    expect(observe).toHaveBeenLastCalledWith(expect.objectContaining({ fn: 'fn', start: 'fork', waitMs: 0 }));
    const coldMs = observe.mock.lastCall?.[0].coldMs ?? 0;
    expect(coldMs).toBeGreaterThan(20);
    expect(coldMs).toBeLessThan(1000);

    await sandbox.pause();
    // The test takes all memory that the root zygote leaves, so the idle instance must be evicted.
    const charge = await rig.pool.acquire(rig.pool.totalMb - provider.report().memory.usedMb);
    await sandbox.life.exited;
    expect(sandbox.life.end).toMatchObject({ by: 'eviction' });
    expect(evicted).toHaveBeenCalledTimes(1);
    const [name, mb] = evicted.mock.lastCall ?? [];
    expect(name).toBe('fn');
    expect(mb).toBeGreaterThan(0);
    expect(mb).toBeLessThanOrEqual(50);

    setTimeout(() => {
      charge.release();
    }, 100);
    const late = await provider.create(rig.leaf(slow));
    await call(late);
    expect(observe.mock.lastCall?.[0]).toMatchObject({ waitedForMb: 50 });
    expect(observe.mock.lastCall?.[0].waitMs).toBeGreaterThan(50);
    await late.destroy('it was seen');
    // A sandbox that its owner destroys is not counted as evicted.
    expect(evicted).toHaveBeenCalledTimes(1);
  });

  it('survive many forks, kills and evictions', async () => {
    await start({ mode: 'multitree', spares: 2, poolMb: 400 });
    const alpha = rig.addPackage('alpha==1.1', 'VALUE = 1\n');
    const one = async (round: number): Promise<void> => {
      const sandbox = await rig.zygotes.provider.create(rig.leaf(USES('alpha'), [alpha]));
      if (round % 5 === 0) process.kill(sandbox.pid, 'SIGKILL');
      await call(sandbox).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'SANDBOX_DEAD' });
      });
      if (round % 3 === 0) await sandbox.pause().catch(() => undefined);
      await sandbox.destroy('next');
    };
    for (let round = 0; round < 60; round += 6) {
      await Promise.all(Array.from({ length: 6 }, (_, index) => one(round + index)));
    }
  });
});
