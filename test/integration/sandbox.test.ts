import { readFileSync } from 'node:fs';
import { LIMITS, Rig, call, whyNoHelper } from '../support/real-sandboxes';
import { until } from '../support/until';

const real = whyNoHelper() === undefined || process.env.ARGYLE_MUST_WORK !== undefined ? describe : describe.skip;

const ECHO = 'import os\ndef f(event):\n    return {"pid": os.getpid(), "event": event}\n';
const SPIN = 'import time\ndef f(event):\n    time.sleep(60)\n';
const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

real('leaves with the real helper', () => {
  jest.setTimeout(30_000);
  let rig: Rig;
  let idle: Awaited<ReturnType<Rig['counts']>>;
  beforeAll(async () => {
    rig = new Rig();
    rig.slots.start();
    await until('slots are ready', () => rig.slots.ready === 4);
    idle = await rig.counts();
  });
  afterEach(async () => {
    await rig.factory.close('end of test');
    await until('slots are ready', () => rig.slots.ready === 4);
    await until('failed starts are cleaned up', () => rig.pool.usedMb === 0);
    expect(await rig.counts()).toEqual(idle);
  });
  afterAll(async () => {
    await rig.close();
    expect(rig.cgroups()).toEqual([]);
  });

  it('serve from a fresh process', async () => {
    const sandbox = await rig.factory.fresh(rig.leaf(ECHO));
    const answer = await call(sandbox, { x: 1 });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({ pid: 1, event: { x: 1 } });
    expect(answer.headers['x-argyle-boot']).toBeUndefined();
    expect((await call(sandbox, { x: 2 })).status).toBe(200);
    expect(sandbox.start).toBe('fresh');
    expect(alive(sandbox.pid)).toBe(true);
    expect(await sandbox.debugString()).toMatch(
      /^SOCK \d+\nROOT DIR: .*\nHOST DIR: .*\nCGROUP PIDS: \d.*\nCGROUPS: .*\nFREEZE STATE: THAWED\nMEMORY USED: \d+ of 50 MB\nOOM KILLS: 0\n$/,
    );
    await sandbox.destroy('test');
    expect(alive(sandbox.pid)).toBe(false);
    expect(await sandbox.debugString()).toBe(`SANDBOX ${sandbox.id} is DEAD: test\n`);
    await expect(sandbox.pause()).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
    await expect(sandbox.usage()).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
    await expect(call(sandbox)).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
    await sandbox.destroy('again');
  });

  it('report the import of their handler to the callback', async () => {
    const reports: number[] = [];
    const onBoot = ({ importMs }: { importMs: number }): number => reports.push(importMs);
    const sandbox = await rig.factory.fresh(rig.leaf(`import time\ntime.sleep(0.05)\n${ECHO}`), { onBoot });
    await call(sandbox);
    await call(sandbox);
    expect(reports).toHaveLength(1);
    expect(reports[0]).toBeGreaterThan(45);
  });

  it('pause, are charged the memory they use, and thaw for a request', async () => {
    const sandbox = await rig.factory.fresh(rig.leaf(ECHO));
    await call(sandbox);
    expect(rig.pool.usedMb).toBe(50);
    await sandbox.pause();
    // The kernel needs some time to stop every task.
    await until('it is frozen', async () => (await sandbox.usage()).frozen);
    expect(rig.pool.usedMb).toBeLessThan(30);
    await sandbox.pause();
    expect((await call(sandbox)).status).toBe(200);
    expect((await sandbox.usage()).frozen).toBe(false);
    expect(rig.pool.usedMb).toBe(50);
  });

  it('cannot be paused while they serve a request', async () => {
    const sandbox = await rig.factory.fresh(rig.leaf(SPIN));
    const answer = call(sandbox).catch((error: unknown) => error);
    await expect(sandbox.pause()).rejects.toMatchObject({ code: 'SANDBOX_STATE' });
    await sandbox.destroy('test');
    expect(await answer).toMatchObject({ code: 'SANDBOX_DEAD' });
  });

  it('report a handler that cannot be imported', async () => {
    const sandbox = await rig.factory.fresh(rig.leaf('import nonsense\n'));
    await expect(call(sandbox)).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
    expect(await sandbox.life.exited).toEqual({ oomKills: 0, procsRefused: 0, status: 1 << 8 });
    expect(sandbox.life.end?.why).toBe('its first process exited with 1');
    await until('the traceback is logged', () => rig.logs.some((line) => /^fn#\d+: ModuleNotFoundError/.test(line)));
  });

  it('report kill -9 in the middle of a request', async () => {
    const sandbox = await rig.factory.fresh(rig.leaf(SPIN));
    const answer = call(sandbox).catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 200));
    process.kill(sandbox.pid, 'SIGKILL');
    expect(await answer).toMatchObject({ code: 'SANDBOX_DEAD' });
    expect((await sandbox.life.exited).status).toBe(9);
  });

  it('are killed above their memory limit', async () => {
    const sandbox = await rig.factory.fresh(
      rig.leaf('def f(event):\n    x = bytearray(200 << 20)\n    return len(x)\n'),
    );
    await expect(call(sandbox)).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
    expect((await sandbox.life.exited).oomKills).toBeGreaterThan(0);
    expect(sandbox.life.end?.why).toMatch(/^out of memory: limits\.mem_mb is \d+ MB; raise it in /);
    expect(await sandbox.debugString()).toMatch(/OOM KILLS: [1-9]/);
  });

  it('cannot exceed their process limit', async () => {
    const source =
      'import os, time\ndef f(event):\n    n = 0\n    try:\n        for _ in range(50):\n            if os.fork() == 0:\n' +
      '                time.sleep(30)\n                os._exit(0)\n            n += 1\n    except OSError as e:\n        return [n, e.errno]\n    return [n, 0]\n';
    const sandbox = await rig.factory.fresh(rig.leaf(source, [], { procs: 5 }));
    expect(JSON.parse((await call(sandbox)).body)).toEqual([4, 11]);
    expect((await sandbox.usage()).pids).toBe(5);
  });

  it('never block on a full log', async () => {
    const source = 'import sys\ndef f(event):\n    for _ in range(20000):\n        print("x" * 100)\n    return 1\n';
    const sandbox = await rig.factory.fresh(rig.leaf(source));
    expect((await call(sandbox)).body).toBe('1');
    await call(sandbox);
  });

  it('wait for memory, and fail when none is freed', async () => {
    const hungry = rig.leaf(ECHO, [], { memMb: 2000 });
    await expect(rig.factory.fresh(hungry)).rejects.toMatchObject({ code: 'MEMORY_EXHAUSTED' });
  });

  it('are refused a missing code directory', async () => {
    const spec = { ...rig.leaf(ECHO), codeName: 'nowhere' };
    await expect(rig.factory.fresh(spec)).rejects.toMatchObject({ code: 'SANDBOX_CREATE' });
    await expect(rig.factory.fresh({ ...spec, codeName: '../code' })).rejects.toMatchObject({
      code: 'HELPER_PROTOCOL',
    });
  });

  it('are made by the dozen concurrently', async () => {
    const sandboxes = await Promise.all(Array.from({ length: 12 }, () => rig.factory.fresh(rig.leaf(ECHO))));
    const answers = await Promise.all(sandboxes.map((sandbox, x) => call(sandbox, x)));
    expect(answers.map(({ body }) => (JSON.parse(body) as { event: number }).event)).toEqual([...Array(12).keys()]);
  });
});

real('a helper that is killed', () => {
  it('fails requests in flight, ends the sandboxes, and is replaced', async () => {
    const rig = new Rig({ ready: 2 });
    rig.slots.start();
    const sandbox = await rig.factory.fresh(rig.leaf(SPIN));
    const { pid } = sandbox;
    const answer = call(sandbox).catch((error: unknown) => error);
    process.kill((await rig.supervisor.get()).pid, 'SIGKILL');
    expect(await answer).toMatchObject({ code: 'SANDBOX_DEAD' });
    await sandbox.life.exited;
    await until('the sandbox is dead', () => !alive(pid));
    await sandbox.destroy('gone');
    const next = await rig.factory.fresh(rig.leaf(ECHO));
    expect((await call(next)).status).toBe(200);
    await rig.close();
    expect(rig.cgroups()).toEqual([]);
  }, 30_000);
});

real('fresh leaves whose processes were spawned ahead', () => {
  jest.setTimeout(30_000);
  let rig: Rig;
  const program = (pid: number): string => readFileSync(`/proc/${pid}/comm`, 'utf8').trim();

  beforeAll(async () => {
    rig = new Rig({ prespawn: true, ready: 2 });
    rig.slots.start();
    await until('slots are ready', () => rig.slots.ready === 2);
  });
  afterAll(async () => {
    await rig.close();
    expect(rig.cgroups()).toEqual([]);
  });

  it('become one leaf each, with their own limits and code', async () => {
    for (const memMb of [50, 64]) {
      await until('slots are ready', () => rig.slots.ready === 2);
      const slot = await rig.slots.take({ ...LIMITS, memMb });
      expect(program(slot.pid)).toBe('sandbox-helper');
      await slot.destroy();
      const sandbox = await rig.factory.fresh({ ...rig.leaf(ECHO), limits: { ...LIMITS, memMb } });
      expect(JSON.parse((await call(sandbox, memMb)).body)).toMatchObject({ pid: 1, event: memMb });
      expect(program(sandbox.pid)).toBe('python3');
      expect(await sandbox.debugString()).toContain(`of ${memMb} MB`);
      await sandbox.destroy('test');
    }
  });

  it('are made on demand when none is ready', async () => {
    const made = await Promise.all(Array.from({ length: 6 }, () => rig.factory.fresh(rig.leaf(ECHO))));
    const answers = await Promise.all(made.map((sandbox, index) => call(sandbox, index)));
    expect(answers.map(({ body }) => (JSON.parse(body) as { event: number }).event)).toEqual([0, 1, 2, 3, 4, 5]);
    await rig.factory.close('test');
  });

  it('are made again after a waiting process was killed, without a rush', async () => {
    await until('slots are ready', () => rig.slots.ready === 2);
    const slot = await rig.slots.take(LIMITS);
    await slot.destroy();
    await until('slots are ready', () => rig.slots.ready === 2);
    const victim = await rig.slots.take(LIMITS);
    process.kill(victim.pid, 'SIGKILL');
    expect(await victim.exited).toMatchObject({ status: 9 });
    await victim.destroy();
    await until('slots are ready', () => rig.slots.ready === 2);
    const sandbox = await rig.factory.fresh(rig.leaf(ECHO));
    expect((await call(sandbox, 'x')).status).toBe(200);
    await sandbox.destroy('test');
  });
});
