/** How guests join their v1 cgroups on hybrid hosts. On pure v2 hosts, guests start in all of their cgroups. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Code, Flag, Pool, Role, Usage } from '../../../src/helper/protocol';
import { cgroupsOf, slotCgroups, v1Hierarchies } from '../../support/cgroups';
import { Fixture } from '../../support/helper/fixture';
import { RawHelper } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';
import { sleep, until } from '../../support/until';

jest.setTimeout(120_000);

/** Forks as fast as possible, so that process ids advance quickly, and keeps some children. */
const FORKER = `import os, time
def churn():
    while True:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
def f(event):
    for _ in range(event["children"]):
        if os.fork() == 0:
            os.closerange(3, 1024)  # or the answer would never end
            while True:
                time.sleep(60)
    for _ in range(event["churners"]):
        if os.fork() == 0:
            os.closerange(3, 1024)
            churn()
    return os.getpid()
`;

/** Name of the sandbox's v1 cgroup set that a process is in; undefined for no set or a part of one. */
function setOf(pid: number): string | undefined {
  const { v1 } = slotCgroups(cgroupsOf().get(pid));
  return v1?.startsWith('cg-') ? v1 : undefined;
}

/** Whether a process is in a slot's cgroups of each hierarchy. In v2 it is there from its start. */
function hasJoined(pid: number): boolean {
  const isV2 = slotCgroups(cgroupsOf().get(pid)).v2?.startsWith('cg-') ?? false;
  return isV2 && (v1Hierarchies().length === 0 || setOf(pid) !== undefined);
}

const isAlive = (pid: number): boolean => {
  const status = `/proc/${pid}/status`;
  return existsSync(status) && !/State:\s+Z/.test(readFileSync(status, 'utf8'));
};
/** Value of a line of /proc/PID/status. */
const statusOf = (pid: number, key: string): string =>
  new RegExp(`^${key}:\\s+(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
const program = (pid: number): string => readFileSync(`/proc/${pid}/comm`, 'utf8').trim();

describePrivileged('a fresh guest', () => {
  let fixture: Fixture;
  let helper: RawHelper;

  beforeEach(async () => {
    fixture = new Fixture();
    fixture.write({ 'worker/code/1/f.py': 'def f(event):\n    return bytearray(event) and event\n' });
    helper = new RawHelper(fixture);
    await helper.greet();
  });

  afterEach(async () => {
    await helper.finish();
  });

  it('that is parked joins its cgroups, has no foreign descriptor, and waits for its release', async () => {
    await helper.slot(1);
    await helper.slot(2);
    const pid = (await helper.call('SPAWN', { slot: 2, role: Role.LEAF, flags: Flag.PARK })).value[0] ?? 0;
    await until('it has joined', () => hasJoined(pid));
    await sleep(100);
    expect(program(pid)).toBe('sandbox-helper');
    // The waiting process is already confined, so the confinement takes no time when the process is needed.
    for (const key of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(statusOf(pid, key)).toBe('0'.repeat(16));
    expect([statusOf(pid, 'NoNewPrivs'), statusOf(pid, 'Seccomp')]).toEqual(['1', '2']);
    expect(new Set(statusOf(pid, 'Uid').split('\t'))).not.toContain('0');
    // The null device, the log (twice), the link, the socket, its wait descriptor, the root, /proc, and the helper's
    // end.
    expect(readdirSync(`/proc/${pid}/fd`)).toHaveLength(9);
    expect((await helper.call('GO', { slot: 2, name: ['1'] })).code).toBe(Code.OK);
    expect(await helper.invoke(2, 7)).toBe('7');
    expect(program(pid)).toBe('python3');
    expect((await helper.call('GO', { slot: 2, name: ['1'] })).code).toBe(Code.STATE);
  });

  it('starts nothing before its limits apply, alone and with others', async () => {
    const slots = Array.from({ length: 12 }, (_, index) => index + 1);
    for (const slot of slots) await helper.slot(slot);
    const replies = await Promise.all(
      slots.map((slot) => helper.call('SPAWN', { slot, role: Role.LEAF, name: ['1'] })),
    );
    const waiting = new Set(replies.map(({ value }) => value[0] ?? 0));
    await until('all have started', () => {
      for (const pid of waiting) {
        if (program(pid) !== 'python3') continue;
        expect(hasJoined(pid)).toBe(true);
        waiting.delete(pid);
      }
      return waiting.size === 0;
    });
    for (const slot of slots) expect(await helper.invoke(slot, slot)).toBe(String(slot));
  });

  it.each([0, 3, 50])('that waits dies with a helper that is killed %i ms later, and leaves nothing', async (ms) => {
    await helper.slot(1);
    const pid = (await helper.call('SPAWN', { slot: 1, role: Role.LEAF, flags: Flag.PARK })).value[0] ?? 0;
    await sleep(ms);
    helper.child.kill('SIGKILL');
    await helper.close();
    await until('it is gone', () => !isAlive(pid), 2000);
    helper = new RawHelper(fixture);
    await helper.greet();
    expect(fixture.slotCgroups()).toEqual([]);
  });

  it('that waits can be killed and destroyed like any other guest', async () => {
    for (const verb of ['KILL', 'DESTROY'] as const) {
      await helper.slot(1);
      const pid = (await helper.call('SPAWN', { slot: 1, role: Role.LEAF, flags: Flag.PARK })).value[0] ?? 0;
      expect((await helper.call(verb, { slot: 1 })).code).toBe(Code.OK);
      expect(isAlive(pid)).toBe(false);
      await helper.call('DESTROY', { slot: 1 });
    }
    expect(fixture.slotCgroups()).toEqual([]);
  });
});

/** v1 cgroups of cleanly ended slots are used again. Pure v2 hosts have no such cgroups. */
(v1Hierarchies().length === 3 ? describePrivileged : describe.skip)('a v1 cgroup', () => {
  let fixture: Fixture;
  let helper: RawHelper;
  const memory = (): string => join('/sys/fs/cgroup/memory', fixture.cgroupName);
  const names = (): string[] => readdirSync(memory()).filter((name) => name.startsWith('cg-'));
  const read = (file: string): number => Number(readFileSync(join(memory(), names()[0] ?? '?', file), 'utf8'));

  beforeEach(async () => {
    fixture = new Fixture();
    fixture.write({
      'worker/code/1/f.py': 'def f(event):\n    return len(bytearray(event))\n',
      'worker/code/2/f.py': 'def f(event):\n    open("/tmp/x", "wb").write(bytes(event))\n    return event\n',
    });
    helper = new RawHelper(fixture);
    await helper.greet();
  });

  afterEach(async () => {
    await helper.finish();
  });

  async function run(slot: number, code: string, bytes: number, memMb: number): Promise<string> {
    await helper.slot(slot, undefined, [memMb * 2 ** 20, 64, 50, 0, 0]);
    await helper.call('SPAWN', { slot, role: Role.LEAF, name: [code] });
    return helper.invoke(slot, bytes, 5000);
  }

  it('serves one slot after the other, with the limits of each slot', async () => {
    for (const memMb of [64, 96, 64]) {
      expect(await run(1, '1', 1000, memMb)).toBe('1000');
      expect(names()).toHaveLength(1);
      expect(read('memory.limit_in_bytes')).toBe(memMb * 2 ** 20);
      await helper.call('DESTROY', { slot: 1 });
      // Python's own pages may still be charged to the cgroup. It is then removed instead.
      expect(names().length).toBeLessThanOrEqual(1);
      expect(fixture.slotCgroups()).toEqual([]);
    }
  });

  it('is kept after an unused slot, and may serve a slot of the other pool', async () => {
    await helper.slot(1, undefined, [64 * 2 ** 20, 7, 50, 0, 0, 25]);
    const [first] = names();
    const other = (controller: string, file: string): string =>
      readFileSync(join('/sys/fs/cgroup', controller, fixture.cgroupName, names()[0] ?? '?', file), 'utf8').trim();
    // cpu.shares is ten times v2's weight.
    expect([other('cpu', 'cpu.shares'), other('cpu', 'cpu.cfs_quota_us')]).toEqual(['250', '50000']);
    await helper.call('LIMITS', { slot: 1, arg: [64 * 2 ** 20, 7, 50, 0, 0, 3] });
    expect([other('cpu', 'cpu.shares'), other('cpu', 'cpu.cfs_quota_us')]).toEqual(['30', '50000']);
    await helper.call('DESTROY', { slot: 1 });
    expect(names()).toEqual([first]);
    await helper.slot(1, Pool.INSTALL, [96 * 2 ** 20, 9, 0, 0, 0]);
    expect(names()).toEqual([first]);
    expect(read('memory.limit_in_bytes')).toBe(96 * 2 ** 20);
    expect(other('pids', 'pids.max')).toBe('9');
    expect([other('cpu', 'cpu.shares'), other('cpu', 'cpu.cfs_quota_us')]).toEqual(['1024', '-1']);
  });

  it('that ran out of memory is not reused, so no other slot gets its kill count', async () => {
    expect(await run(1, '1', 200 * 2 ** 20, 48)).toBe('');
    const [first = '?'] = names();
    expect((await helper.call('DESTROY', { slot: 1 })).code).toBe(Code.OK);
    expect(names()).not.toContain(first);
    expect(await run(1, '1', 10, 48)).toBe('10');
    expect((await helper.call('USAGE', { slot: 1 })).value[Usage.OOM_KILLS]).toBe(0);
  });

  it('that still holds memory is not reused', async () => {
    expect(await run(1, '2', 8 * 2 ** 20, 64)).toBe(String(8 * 2 ** 20));
    const [first = '?'] = names();
    await helper.call('DESTROY', { slot: 1 });
    expect(names()).not.toContain(first);
  });

  it('is kept in a limited number only', async () => {
    const slots = Array.from({ length: 80 }, (_, index) => index + 1);
    for (const slot of slots) await helper.slot(slot);
    await Promise.all(slots.map((slot) => helper.call('DESTROY', { slot })));
    expect(names()).toHaveLength(64);
  });
});

describePrivileged('a forked guest', () => {
  let fixture: Fixture;
  let helper: RawHelper;
  const MEMORY = 256 * 2 ** 20;

  beforeEach(async () => {
    fixture = new Fixture();
    fixture.write({ 'worker/code/1/f.py': FORKER });
    helper = new RawHelper(fixture);
    await helper.greet();
    await helper.zygote(1);
  });

  afterEach(async () => {
    await helper.finish();
  });

  async function fork(slot: number, event: object, source = 1, memory = MEMORY): Promise<number> {
    await helper.slot(slot, undefined, [memory, 64, 0, 0, 0]);
    const answer = helper.invoke(slot, event);
    const reply = await helper.call('FORK', { slot, source, role: Role.LEAF, name: ['1'] });
    expect(reply.code).toBe(Code.OK);
    const pid = reply.value[0] ?? 0;
    expect(hasJoined(pid)).toBe(true);
    expect(await answer).toMatch(/^\d+$/);
    return pid;
  }

  const IDLE = { children: 0, churners: 0 };

  it('is in all of its cgroups before it runs, together with its children', async () => {
    const pids = [];
    for (const slot of [2, 3, 4]) pids.push(await fork(slot, { children: 5, churners: 2 }));
    const all = cgroupsOf();
    const own = pids.map((pid) => slotCgroups(all.get(pid)));
    expect(new Set(own.map(({ v2 }) => v2)).size).toBe(3);
    for (const { v2, v1 } of own) {
      const mine = [...all.values()].map(slotCgroups).filter((its) => its.v2 === v2);
      expect(mine.length).toBeGreaterThanOrEqual(6);
      // The kernel reports no v1 cgroup for a process that is ending.
      for (const its of mine) expect([v1, undefined, '']).toContain(its.v1);
      for (const its of [...all.values()].map(slotCgroups))
        if (v1 !== undefined && its.v1 === v1) expect(its.v2).toBe(v2);
    }
  });

  (v1Hierarchies().length === 3 ? it : it.skip)('leaves its v1 cgroups to children of its zygote alone', async () => {
    await helper.zygote(20);
    const used = setOf(await fork(2, IDLE));
    await helper.call('DESTROY', { slot: 2 });
    expect(readdirSync(join('/sys/fs/cgroup/memory', fixture.cgroupName))).toContain(used);
    // A fresh guest, another zygote's child, and a guest with other limits each get other cgroups.
    await helper.slot(3);
    const fresh = await helper.call('SPAWN', { slot: 3, role: Role.LEAF, flags: Flag.PARK });
    await until('it has joined', () => hasJoined(fresh.value[0] ?? 0));
    expect(setOf(fresh.value[0] ?? 0)).not.toBe(used);
    expect(setOf(await fork(4, IDLE, 20))).not.toBe(used);
    expect(setOf(await fork(5, IDLE, 1, MEMORY / 2))).not.toBe(used);
    expect(setOf(await fork(6, IDLE))).toBe(used);
  });

  it('joins its cgroups in concurrent forks, whether the guests live or die', async () => {
    const slots = Array.from({ length: 40 }, (_, index) => index + 2);
    for (const slot of slots) await helper.slot(slot, undefined, [256 * 2 ** 20, 64, 0, 0, 0]);
    const forks = await Promise.all(
      slots.map((slot) => helper.call('FORK', { slot, source: 1, role: Role.LEAF, name: ['1'] })),
    );
    expect(forks.map(({ code }) => code)).toEqual(slots.map(() => Code.OK));
    for (const slot of slots.slice(0, 10)) void helper.call('KILL', { slot });
    for (const { value } of forks.slice(10)) await until('it has joined', () => hasJoined(value[0] ?? 0));
    expect(helper.events.filter((event) => event.slot > 11)).toEqual([]);
    for (const slot of slots) expect((await helper.call('DESTROY', { slot })).code).toBe(Code.OK);
  });
});
