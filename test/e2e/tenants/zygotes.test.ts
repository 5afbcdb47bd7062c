/** A malicious package in a zygote. It harms only functions that asked for it. */
import { readFileSync, readdirSync } from 'node:fs';
import { Code, Role } from '../../../src/helper/protocol';
import { cgroupsOf, slotCgroups, v1Hierarchies } from '../../support/cgroups';
import { idsOf, mapOf } from '../../support/helper/ids';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';
import { TenantRig, ZYGOTE } from './rig';

jest.setTimeout(120_000);

const DENIED = 'Permission denied';
/** Slots of the malicious package's zygote, and of a function that asked for the package. */
const HOSTILE = 2000;
const ASKED = 2001;

describePrivileged('a malicious package', () => {
  const rig = new TenantRig('forked');
  /** Output of the malicious zygote. */
  let text = '';
  beforeAll(() => rig.begin());
  afterAll(() => rig.end());
  afterEach(async () => {
    for (const slot of [ASKED, HOSTILE]) await rig.helper.call('DESTROY', { slot });
    await victimServed();
  });

  /** Checks that the other tenant, forked from a zygote without the package, gives right answers. */
  async function victimServed(): Promise<void> {
    expect(await rig.run('victim', { do: 'inspect_modules' })).toEqual(['clean', 'clean', ['a', 'b'], false]);
  }

  /** Starts a zygote with the package and orders a fork from it. */
  async function order(task: object, role: number = Role.LEAF): Promise<{ code: number; detail: string; pid: number }> {
    text = '';
    const file = 'packages/.store/hostile==1/files/hostile/task.json';
    expect(await rig.zygote(HOSTILE, 'hostile', { [file]: JSON.stringify(task) })).toMatch(/"ok": ?true/);
    await rig.helper.slot(ASKED);
    const reply = await rig.helper.call('FORK', { slot: ASKED, source: HOSTILE, role, name: ['attacker'] });
    return { code: reply.code, detail: reply.detail, pid: reply.value[0] ?? 0 };
  }

  /** The value that the zygote printed under a name. */
  async function told(name: string): Promise<unknown> {
    await until(`it tells of ${name}`, () => (text += rig.helper.log(HOSTILE)).includes(`RESULT ["${name}"`));
    const line = text.split('\n').find((one) => one.startsWith(`RESULT ["${name}"`)) ?? '';
    return (JSON.parse(line.slice(7)) as [string, unknown])[1];
  }

  it.each([
    ['talks nonsense', 'nonsense'],
    ['says that it has forked, and has not', 'claim'],
    ['says that it cannot fork', 'fail'],
  ])('%s: the FORK fails with an error', async (_what, mode) => {
    const reply = await order({ mode });
    expect(reply.code).toBe(Code.ZYGOTE);
    if (mode === 'fail') expect(reply.detail).toBe('EACCES');
  });

  it('cannot answer for other zygotes', async () => {
    // Sequence numbers and slots of the following orders.
    const task = {
      mode: 'forge',
      seconds: 3,
      numbers: [1000, 1200],
      slots: Array.from({ length: 40 }, (_, i) => i + 1),
    };
    const asked = order(task);
    const first = Symbol();
    let served = 0;
    while ((await Promise.race([asked, Promise.resolve(first)])) === first && served < 30) {
      await victimServed();
      served++;
    }
    expect(served).toBeGreaterThan(0);
    // Such an answer counts only for the zygote's own order.
    expect(await asked).toMatchObject({ code: Code.ZYGOTE, detail: 'EACCES' });
  });

  it("cannot reach other slots from a slot's descriptors", async () => {
    const { code, pid } = await order({ mode: 'keep' });
    expect(code).toBe(0);
    expect(await told('slots')).toEqual({
      enter: DENIED,
      list: DENIED,
      climb: DENIED,
      code: DENIED,
      packages: DENIED,
      write: 'Read-only file system',
    });
    const files = ['cgroup.kill', 'cgroup.freeze', 'cgroup.subtree_control', 'cgroup.max.depth'];
    expect(await told('cgroup')).toEqual({
      list: DENIED,
      beyond: true,
      mkdir: DENIED,
      ...Object.fromEntries(files.flatMap((name) => [name, `../${name}`]).map((name) => [name, DENIED])),
    });
    // The path exists: root can use it.
    const above = `/proc/${pid}/root/..`;
    expect(readdirSync(above).length).toBeGreaterThan(2);
    expect(readFileSync(`${above}/../code/victim/secret.txt`, 'utf8')).toBe('code secret');
  });

  /** Ids of root, of nobody, and of the helper's sandboxes: of fresh ones, and of the other zygote's block. */
  const ids = async (): Promise<number[]> => {
    const other = (await rig.helper.call('USAGE', { slot: ZYGOTE })).value[7] ?? 0;
    const firsts = [idsOf(rig.helper.child.pid), ...mapOf(other)].map(({ first }) => first);
    return [0, 1, 1001, 65534, ...firsts.flatMap((first) => Array.from({ length: 12 }, (_, i) => first + i))];
  };

  it('can take no other id, make no namespace, and not touch its child', async () => {
    const { code, pid } = await order({ mode: 'empower', ids: await ids() });
    expect(code).toBe(0);
    expect(await told('zygote')).toEqual({
      ids: [],
      setgroups: 'ENOSYS',
      unshare: 'ENOSYS',
      user: 'EPERM',
      net: 'ENOSPC',
      mount: 'ENOSPC',
      setns: ['EPERM', 'EPERM', 'EPERM'],
      kill: 'Operation not permitted',
    });
    // The zygote may take its child's id, but the child's id map has no other id.
    expect(await told('inside')).toEqual({ enter: null, ids: [], net: 'ENOSPC', user: 'EPERM', own: null });
    expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/State:\t[RS]/);
  });

  it('cannot choose an id for a zygote that it forks, despite all capabilities there', async () => {
    const { code } = await order({ mode: 'choose', ids: await ids() }, Role.ZYGOTE);
    expect(code).toBe(0);
    expect(await told('newborn')).toEqual({ enter: null, ids: [] });
    await until('it has ended', () => rig.helper.events.some((event) => event.slot === ASKED));
  });

  it("loses a child that keeps the zygote's ids", async () => {
    expect((await order({ mode: 'stay' })).code).toBe(0);
    await until('it has ended', () => rig.helper.events.some((event) => event.slot === ASKED));
    // The same with a child that behaves well: it lives.
    for (const slot of [ASKED, HOSTILE]) await rig.helper.call('DESTROY', { slot });
    const { code, pid } = await order({ mode: 'keep' });
    expect(code).toBe(0);
    await told('slots');
    expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/State:\t[RS]/);
    expect(rig.helper.events.map((event) => event.value[2])).not.toContain(pid);
  });

  it('cannot hide a process from the end of its zygote', async () => {
    const { code } = await order({ mode: 'hide' });
    expect(code).toBe(0);
    expect(await told('moving')).toBe('hide');
    expect((await rig.helper.call('DESTROY', { slot: HOSTILE })).code).toBe(0);
    // The leaf and the process that hid with it are in the zygote's process namespace, and end with the zygote.
    await until('the leaf has ended', () => rig.helper.events.some((event) => event.slot === ASKED));
    expect((await rig.helper.call('DESTROY', { slot: ASKED })).code).toBe(0);
  });

  it('cannot hide a process from the end of a slot either', async () => {
    const { code } = await order({ mode: 'hide' });
    expect(code).toBe(0);
    expect(await told('moving')).toBe('hide');
    expect((await rig.helper.call('DESTROY', { slot: ASKED })).code).toBe(0);
    expect((await rig.helper.call('DESTROY', { slot: HOSTILE })).code).toBe(0);
  });

  (v1Hierarchies().length > 0 ? it : it.skip)("ends when it moves into a leaf's v1 cgroups [optional]", async () => {
    const { code, pid } = await order({ mode: 'squat' });
    expect(code).toBe(0);
    const { v1 = '?' } = slotCgroups(cgroupsOf().get(pid));
    expect(await told('squatting')).toBeGreaterThan(0);
    expect((await rig.helper.call('DESTROY', { slot: ASKED })).code).toBe(0);
    await until('the zygote has ended', () => rig.helper.events.some((event) => event.slot === HOSTILE));
    expect([...cgroupsOf().values()].map((paths) => slotCgroups(paths).v1)).not.toContain(v1);
  });
});
