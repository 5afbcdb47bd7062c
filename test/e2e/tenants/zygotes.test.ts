/** A malicious package in a zygote: only those who asked for it are hurt. */
import { readFileSync, readdirSync } from 'node:fs';
import { Code, Role } from '../../../src/helper/protocol';
import { cgroupsOf, slotCgroups, v1Hierarchies } from '../../support/cgroups';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';
import { TenantRig } from './rig';

jest.setTimeout(120_000);

const DENIED = 'Permission denied';
/** Slot of the malicious package's zygote, and of a handler that asked for it. */
const HOSTILE = 2000;
const ASKED = 2001;

describePrivileged('a malicious package', () => {
  const rig = new TenantRig('forked');
  /** What the malicious zygote has printed. */
  let text = '';
  beforeAll(() => rig.begin());
  afterAll(() => rig.end());
  afterEach(async () => {
    for (const slot of [ASKED, HOSTILE]) await rig.helper.call('DESTROY', { slot });
    await victimServed();
  });

  /** The other tenant, forked from a zygote without the package, gets right answers. */
  async function victimServed(): Promise<void> {
    expect(await rig.run('victim', { do: 'inspect_modules' })).toEqual(['clean', 'clean', ['a', 'b'], false]);
  }

  /** Starts a zygote with the package and orders a fork from it. */
  async function order(task: object): Promise<{ code: number; detail: string; pid: number }> {
    text = '';
    const file = 'packages/hostile==1/files/hostile/task.json';
    expect(await rig.zygote(HOSTILE, 'hostile', { [file]: JSON.stringify(task) })).toMatch(/"ok": ?true/);
    await rig.helper.slot(ASKED);
    const reply = await rig.helper.call('FORK', { slot: ASKED, source: HOSTILE, role: Role.LEAF, name: ['attacker'] });
    return { code: reply.code, detail: reply.detail, pid: reply.value[0] ?? 0 };
  }

  /** What it printed under a name. */
  async function told(name: string): Promise<unknown> {
    await until(`it tells of ${name}`, () => (text += rig.helper.log(HOSTILE)).includes(`RESULT ["${name}"`));
    const line = text.split('\n').find((one) => one.startsWith(`RESULT ["${name}"`)) ?? '';
    return (JSON.parse(line.slice(7)) as [string, unknown])[1];
  }

  it.each([
    ['talks nonsense', 'nonsense'],
    ['says that it has forked, and has not', 'claim'],
    ['says that it cannot fork', 'fail'],
  ])('%s: an error for those who asked for it', async (_what, mode) => {
    const reply = await order({ mode });
    expect(reply.code).toBe(Code.ZYGOTE);
    if (mode === 'fail') expect(reply.detail).toBe('EACCES');
  });

  it('answers for other zygotes in vain', async () => {
    // Numbers and slots of the orders that follow.
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
    // Such an answer counts where the order was its own.
    expect(await asked).toMatchObject({ code: Code.ZYGOTE, detail: 'EACCES' });
  });

  it("finds no way from a slot's descriptors to other slots", async () => {
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
    // It is not for want of a way: root goes it.
    const above = `/proc/${pid}/root/..`;
    expect(readdirSync(above).length).toBeGreaterThan(2);
    expect(readFileSync(`${above}/../code/victim/secret.txt`, 'utf8')).toBe('code secret');
  });

  it('cannot hide a process from the end of its zygote', async () => {
    const { code } = await order({ mode: 'hide' });
    expect(code).toBe(0);
    expect(await told('moving')).toBe('hide');
    expect((await rig.helper.call('DESTROY', { slot: HOSTILE })).code).toBe(0);
    // The leaf and what hid with it are of the zygote's process namespace, and end with it.
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
