/** The checks of /readyz with a full disk and a real memory pool. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readyChecks } from '../../../../src/compose/observe/readiness';
import { Readiness } from '../../../../src/event/readiness';
import { openStore } from '../../../../src/lambda/registry/open-store';
import { StatsRegistry } from '../../../../src/metrics';
import { MemoryPool } from '../../../../src/sandbox/memory/memory-pool';
import { describePrivileged } from '../../../support/privileged';
import { smallDisk, type SmallDisk } from '../../../support/small-disk';

const LOG = { info: () => undefined, warn: () => undefined };
const limits = { procs: 10, mem_mb: 50, cpu_percent: 100, swappiness: 0, runtime_sec: 30, scratch_mb: 64 };

describePrivileged('the readiness checks', () => {
  let disk: SmallDisk;
  let pool: MemoryPool;
  let now = 0;
  let readiness: Readiness;

  beforeAll(async () => {
    disk = await smallDisk(16);
    const [workerDir, packages] = [join(disk.dir, 'worker'), join(disk.dir, 'packages')];
    for (const dir of [workerDir, packages]) await mkdir(dir);
    pool = new MemoryPool({ totalMb: 100, timeoutMs: 60_000, stats: new StatsRegistry() });
    const store = await openStore(join(disk.dir, 'registry'));
    const config = { worker_dir: workerDir, Pkgs_dir: packages, limits };
    readiness = new Readiness(
      readyChecks({ config, answers: () => Promise.resolve(), pool, store }),
      LOG,
      () => (now += 1000),
    );
  });
  afterAll(() => disk.close());

  test('succeeds on a disk with free space, and leaves no file there', async () => {
    const ok = { ok: true };
    const checks = { helper: ok, memory: ok, registry: ok, worker_dir: ok, disk: ok };
    expect(await readiness.report()).toEqual({ ready: true, checks });
    expect(await readdir(join(disk.dir, 'worker'))).toEqual([]);
    expect(await readdir(join(disk.dir, 'registry'))).toEqual([]);
  });

  test('fails on a full disk, and succeeds again when space is free', async () => {
    disk.fill();
    const full = { ok: false, why: 'write failed with ENOSPC' };
    expect(await readiness.report()).toMatchObject({
      ready: false,
      checks: {
        helper: { ok: true },
        registry: full,
        worker_dir: full,
        disk: { ok: false, why: 'the disk is nearly full' },
      },
    });
    disk.free();
    expect((await readiness.report()).ready).toBe(true);
    expect(await readdir(join(disk.dir, 'worker'))).toEqual([]);
  });

  test('counts idle memory as free, and memory in use as taken', async () => {
    const holder = {
      idle: false,
      candidate: () =>
        holder.idle ? { id: 'x', action: 'destroy' as const, freesMb: 80, savesMs: 0, idleMs: 1 } : undefined,
      reclaim: () => Promise.resolve(),
    };
    pool.add(holder);
    const charge = await pool.acquire(80);
    const memory = async () => (await readiness.report()).checks['memory'];
    expect(await memory()).toEqual({ ok: false, why: 'the memory pool has no room for another sandbox' });
    holder.idle = true;
    expect(await memory()).toEqual({ ok: true });
    charge.release();
    expect(await memory()).toEqual({ ok: true });
  });
});
