/**
 * The host ids of sandboxes. An id never belongs to another helper, to a living process, or to another zygote's child.
 * The user namespace of a zygote maps only ids that its own children may take.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Code, Role, Stage } from '../../../src/helper/protocol';
import { Fixture, SANDBOX_IDS } from '../../support/helper/fixture';
import { idsOf, mapOf, mapped, maps, uidOf } from '../../support/helper/ids';
import { RawHelper } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

jest.setTimeout(120_000);

/** AG_UIDS_MAX and AG_UIDS in sandbox-helper/base/base.h. */
const OF_A_HELPER = 4_194_304;
const FEWEST = 8192;
/** IDS_AHEAD in sandbox-helper/base/base.h. */
const AHEAD = 8;

/** Id ranges that no other test and no worker on this machine uses: a large one, and a small one. */
const LARGE = { first: 1_850_000_000, count: SANDBOX_IDS.count };
const OWN = { first: 1_990_000_000, count: FEWEST };
/**
 * A small range without a process. After a helper has ended, its processes keep their ids until init has reaped them.
 */
const unused = (): string => line({ first: (smallRanges += FEWEST), count: FEWEST });
let smallRanges = OWN.first;
const line = ({ first, count }: { first: number; count: number }): string => `sandbox_uids ${first} ${count}`;

describePrivileged('ids', () => {
  const helpers: RawHelper[] = [];
  afterEach(async () => {
    for (const helper of helpers.splice(0)) await helper.finish();
  });

  function make(extra = ''): RawHelper {
    const fixture = new Fixture();
    fixture.configure({ extra });
    fixture.write({ 'worker/code/1/f.py': 'def f(event): return event\n', 'packages/stage/files/x': '' });
    const helper = new RawHelper(fixture);
    helpers.push(helper);
    return helper;
  }
  async function begin(extra = ''): Promise<RawHelper> {
    const helper = make(extra);
    await helper.greet();
    return helper;
  }
  async function fresh(helper: RawHelper, slot: number): Promise<number> {
    await helper.slot(slot);
    const reply = await helper.call('SPAWN', { slot, role: Role.LEAF, name: ['1'] });
    expect(reply.code).toBe(Code.OK);
    return uidOf(reply.value[0] ?? 0);
  }
  /** Starts a zygote, below `source` if there is one. @returns its pid */
  async function zygote(helper: RawHelper, slot: number, source?: number): Promise<number> {
    if (source === undefined) await helper.zygote(slot);
    else {
      await helper.slot(slot);
      const report = helper.exchange(slot, { role: 'zygote', sys_path: [], imports: [] }, '', '\n');
      expect((await helper.call('FORK', { slot, source, role: Role.ZYGOTE })).code).toBe(Code.OK);
      expect(await report).toContain('"ok": true');
    }
    return (await helper.call('USAGE', { slot })).value[7] ?? 0;
  }
  async function destroy(helper: RawHelper, ...slots: number[]): Promise<void> {
    for (const slot of slots) expect((await helper.call('DESTROY', { slot })).code).toBe(Code.OK);
  }
  async function forked(helper: RawHelper, slot: number, source: number): Promise<number> {
    await helper.slot(slot);
    const reply = await helper.call('FORK', { slot, source, role: Role.LEAF, name: ['1'] });
    expect(reply.code).toBe(Code.OK);
    return uidOf(reply.value[0] ?? 0);
  }

  it('of two helpers with 50 sandboxes each never overlap', async () => {
    const two = [await begin(), await begin()];
    const uids: number[][] = [];
    for (const helper of two) {
      await helper.zygote(100);
      const own = [uidOf((await helper.call('USAGE', { slot: 100 })).value[7] ?? 0)];
      for (let slot = 1; slot <= 25; slot++) own.push(await fresh(helper, slot));
      for (let slot = 26; slot < 50; slot++) own.push(await forked(helper, slot, 100));
      uids.push(own);
    }
    const all = uids.flat();
    expect(new Set(all).size).toBe(100);
    for (const own of uids) {
      const first = Math.min(...own);
      expect(Math.max(...own) - first).toBeLessThan(OF_A_HELPER);
      expect(first).toBeGreaterThanOrEqual(SANDBOX_IDS.first);
    }
    const block = (uid: number): number => Math.floor((uid - SANDBOX_IDS.first) / OF_A_HELPER);
    expect(uids.map((own) => new Set(own.map(block)).size)).toEqual([1, 1]);
    expect(block(uids[0]?.[0] ?? 0)).not.toBe(block(uids[1]?.[0] ?? 0));
  });

  it('of a helper are a 16th of the range; a late helper gets the smallest range', async () => {
    const range = { first: OWN.first + 1_000_000, count: 32 * FEWEST };
    const all = [];
    for (let i = 0; i < 10; i++) all.push(idsOf((await begin(line(range))).child.pid, OWN.first));
    expect(all.map(({ count }) => count)).toEqual([...Array<number>(8).fill(2 * FEWEST), FEWEST, FEWEST]);
    const sorted = all.sort((a, b) => a.first - b.first);
    sorted.forEach(({ first, count }, i) => {
      const end = sorted[i + 1]?.first ?? range.first + range.count;
      expect(first).toBeGreaterThanOrEqual(range.first);
      expect(first + count).toBeLessThanOrEqual(end);
    });
  });

  it('of a living helper are refused to the next helper by name, and free after its end', async () => {
    const first = await begin(line(OWN));
    const second = make(line({ first: OWN.first + 100, count: OWN.count }));
    expect(await second.hello()).toMatchObject({
      code: Code.STATE,
      stage: Stage.CONFIG,
      detail: 'sandbox_uids: helpers have all',
    });
    expect((await second.ended).code).toBe(Stage.CONFIG);
    first.child.kill('SIGKILL');
    await first.ended;
    const third = await begin(line(OWN));
    expect(await fresh(third, 1)).toBeGreaterThanOrEqual(OWN.first);
    // The next helper of this name removes what the killed one left.
    first.fixture.configure();
    const again = new RawHelper(first.fixture);
    await again.hello();
    await again.close();
  });

  it('of a living process are skipped', async () => {
    const helper = await begin(line(OWN));
    const before = await fresh(helper, 1);
    const squatter = spawn(
      'setpriv',
      [`--reuid=${before + 1}`, `--regid=${before + 1}`, '--clear-groups', 'sleep', '60'],
      { stdio: 'ignore' },
    );
    try {
      await until('it runs', () => uidOf(squatter.pid ?? 0) === before + 1);
      expect(await fresh(helper, 2)).toBe(before + 2);
    } finally {
      squatter.kill('SIGKILL');
      await once(squatter, 'exit');
    }
  });

  it("of a zygote's child go, after its end, only to later children of the same zygote", async () => {
    const helper = await begin();
    await helper.zygote(100);
    await helper.zygote(200);
    const seen = new Set<number>();
    for (let i = 0; i < 3 * AHEAD; i++) {
      seen.add(await forked(helper, 1, 100));
      expect((await helper.call('DESTROY', { slot: 1 })).code).toBe(Code.OK);
    }
    expect(seen.size).toBeLessThanOrEqual(AHEAD);
    for (let slot = 2; slot < 6; slot++) {
      expect(seen).not.toContain(await fresh(helper, slot));
      expect(seen).not.toContain(await forked(helper, slot + 10, 200));
    }
    const living = [];
    for (let slot = 21; slot < 21 + 3 * AHEAD; slot++) living.push(await forked(helper, slot, 100));
    expect(new Set(living).size).toBe(living.length);
  });

  it("in a zygote's namespace maps are its own and those of its descendants only", async () => {
    const helper = await begin();
    const [one, other] = [await zygote(helper, 100), await zygote(helper, 200)];
    const [nested, sibling] = [await zygote(helper, 101, 100), await zygote(helper, 102, 100)];
    const deep = await zygote(helper, 103, 101);
    const leaves = {
      fresh: await fresh(helper, 1),
      one: await forked(helper, 2, 100),
      other: await forked(helper, 3, 200),
      nested: await forked(helper, 4, 101),
      sibling: await forked(helper, 5, 102),
      deep: await forked(helper, 6, 103),
    };
    const zygotes = { one, other, nested, sibling, deep };
    const seen = (pid: number): string[] => [
      ...Object.entries(zygotes).flatMap(([name, its]) => (maps(pid, uidOf(its)) ? [`zygote ${name}`] : [])),
      ...Object.entries(leaves).flatMap(([name, its]) => (maps(pid, its) ? [name] : [])),
    ];
    expect(seen(deep)).toEqual(['zygote deep', 'deep']);
    expect(seen(nested)).toEqual(['zygote nested', 'zygote deep', 'nested', 'deep']);
    expect(seen(sibling)).toEqual(['zygote sibling', 'sibling']);
    expect(seen(other)).toEqual(['zygote other', 'other']);
    expect(seen(one)).toEqual([
      ...['zygote one', 'zygote nested', 'zygote sibling', 'zygote deep'],
      ...['one', 'nested', 'sibling', 'deep'],
    ]);
    for (const pid of Object.values(zygotes)) {
      expect(mapOf(pid, 'gid')).toEqual(mapOf(pid));
      expect(mapOf(pid)[0]).toEqual({ first: uidOf(pid), count: 1 });
    }
  });

  it('of a zygote suffice for thousands of children by default, for few in the smallest range', async () => {
    // Half of a block, and at most 8,192 ids, are for leaves.
    const helper = await begin(line(LARGE));
    expect(mapped(await zygote(helper, 100))).toBeGreaterThan(4 * 8192);
    expect(mapped(await zygote(helper, 101, 100))).toBeGreaterThan(4 * 8192);
    expect(mapped(await zygote(helper, 102, 101))).toBeGreaterThan(4096);
    const small = await begin(unused());
    expect([mapped(await zygote(small, 100)), mapped(await zygote(small, 101, 100))]).toEqual([512, 32]);
  });

  it('of a zygote run out with a clear error, and other zygotes keep theirs', async () => {
    const helper = await begin(unused());
    await zygote(helper, 100);
    const pid = await zygote(helper, 101, 100);
    const living = [];
    for (let slot = 1; slot <= 15; slot++) living.push(await forked(helper, slot, 101));
    expect(new Set(living).size).toBe(15);
    for (const uid of living) expect(maps(pid, uid)).toBe(true);
    await helper.slot(16);
    const order = { slot: 16, source: 101, role: Role.LEAF, name: ['1'] };
    const none = { code: Code.LIMIT, stage: Stage.SLOT, detail: 'the zygote has no uid left' };
    expect(await helper.call('FORK', order)).toMatchObject(none);
    await helper.slot(17);
    expect(await helper.call('FORK', { ...order, slot: 17, role: Role.ZYGOTE })).toMatchObject(none);
    await destroy(helper, 17);
    expect(maps(pid, await forked(helper, 18, 100))).toBe(false);
    expect(maps(pid, await fresh(helper, 19))).toBe(false);
    await zygote(helper, 102, 100);
    await destroy(helper, 3);
    expect((await helper.call('FORK', order)).code).toBe(Code.OK);
  });

  it("of an ended zygote stay taken until its last child's slot is free", async () => {
    const helper = await begin(unused());
    const uids: number[] = [];
    for (let i = 0; i < 4; i++) {
      const pid = await zygote(helper, 100 + i);
      expect(mapped(pid)).toBe(512);
      uids.push(uidOf(pid));
      await forked(helper, 1 + i, 100 + i);
    }
    await destroy(helper, 100, 101, 102, 103);
    // All large blocks are taken.
    expect(mapped(await zygote(helper, 100))).toBe(128);
    await destroy(helper, 3);
    const next = await zygote(helper, 101);
    expect([mapped(next), uidOf(next)]).toEqual([512, uids[2]]);
    // The same for a zygote below a zygote.
    await zygote(helper, 102, 101);
    await forked(helper, 5, 102);
    await destroy(helper, 102, 101);
    expect(mapped(await zygote(helper, 103))).toBe(128);
    await destroy(helper, 5);
    expect(mapped(await zygote(helper, 104))).toBe(512);
  });

  it('of a zygote are reused as late as possible', async () => {
    const helper = await begin(unused());
    const uids = [];
    for (let i = 0; i < 5; i++) {
      uids.push(uidOf(await zygote(helper, 100)));
      await destroy(helper, 100);
    }
    expect(new Set(uids.slice(0, 4)).size).toBe(4);
    expect(uids[4]).toBe(uids[0]);
  });

  it('of an installer are new for each install', async () => {
    const helper = await begin();
    const uids = [];
    for (const slot of [1, 2]) {
      await helper.slot(slot, 2);
      const reply = await helper.call('SPAWN', { slot, role: Role.INSTALLER, name: ['', 'stage'] });
      uids.push(uidOf(reply.value[0] ?? 0));
      await helper.call('DESTROY', { slot });
    }
    expect(uids[0]).not.toBe(uids[1]);
  });

  it('of ended sandboxes are free again, and no descriptor is left', async () => {
    const helper = await begin(line(OWN));
    const before = (await helper.diag()).value;
    for (let i = 0; i < 3; i++) {
      await helper.zygote(100);
      for (let slot = 1; slot < 8; slot++) await forked(helper, slot, 100);
      for (const slot of [1, 2, 3, 100, 4, 5, 6, 7])
        expect((await helper.call('DESTROY', { slot })).code).toBe(Code.OK);
    }
    expect((await helper.diag()).value).toEqual(before);
  });
});
