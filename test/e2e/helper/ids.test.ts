/**
 * The host ids of sandboxes. An id never belongs to another helper, to a living process, or to another zygote's child.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Code, Role, Stage } from '../../../src/helper/protocol';
import { Fixture, SANDBOX_IDS } from '../../support/helper/fixture';
import { RawHelper } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

jest.setTimeout(120_000);

/** AG_UIDS in sandbox-helper/base/base.h. */
const OF_A_HELPER = 8192;
/** IDS_AHEAD in sandbox-helper/base/base.h. */
const AHEAD = 8;

/** An id range that no other test and no worker on this machine uses. */
const OWN = { first: 1_990_000_000, count: OF_A_HELPER };
const line = ({ first, count }: { first: number; count: number }): string => `sandbox_uids ${first} ${count}`;

/** The effective uid, which a process has from its start. */
function uidOf(pid: number): number {
  return Number(/^Uid:\s+\d+\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

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
  async function forked(helper: RawHelper, slot: number, source: number): Promise<number> {
    await helper.slot(slot);
    const reply = await helper.call('FORK', { slot, source, role: Role.LEAF, name: ['1'] });
    expect(reply.code).toBe(Code.OK);
    return uidOf(reply.value[0] ?? 0);
  }

  it('of two helpers are never the same, with 50 sandboxes each', async () => {
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

  it('that a living helper has are refused to the next one by name, and free when it has ended, even killed', async () => {
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

  it('that a process has are passed over', async () => {
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

  it('of a zygote’s child go to this zygote’s next child alone, and to nobody while it lives', async () => {
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

  it('are an installer’s own for each install', async () => {
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

  it('leave no descriptor and no id behind', async () => {
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
