/**
 * Every system call of the helper fails in turn, also those of its children before exec. After each failure: the helper
 * gives a typed answer or ends cleanly, all slots can be destroyed, nothing remains, and the next request is served.
 */
import { appendFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Area, Code, Limit, Pool, Role, Stage } from '../../../src/helper/protocol';
import { ROOT } from '../../support/helper/build';
import { Errno, FaultPlan } from '../../support/helper/faults';
import { Fixture } from '../../support/helper/fixture';
import { LATE, LIMITS, RawHelper } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';

jest.setTimeout(280_000);

const TRIES_MAX = 1200;
const NEXT_SLOT = 40;
type Scenario = (helper: RawHelper) => Promise<void>;

const leaf: Scenario = async (helper) => {
  await helper.slot(1);
  await helper.call('SPAWN', { slot: 1, role: Role.LEAF, flags: 1 });
  const answer = helper.invoke(1, 'x', 1000);
  const go = await helper.call('GO', { slot: 1, name: ['1'] });
  if (go.code === Code.OK) await answer;
  for (const verb of ['PAUSE', 'RESUME'] as const) await helper.call(verb, { slot: 1 });
  await helper.call('USAGE', { slot: 1, flags: 2 });
  await helper.call('LIMITS', { slot: 1, arg: LIMITS.map((value, index) => (index === Limit.PIDS ? 30 : value)) });
  await helper.call('KILL', { slot: 1 });
  await helper.call('DESTROY', { slot: 1 });
};

const fork: Scenario = async (helper) => {
  await helper.slot(1);
  const report = helper.exchange(1, { role: 'zygote', sys_path: [], imports: [] }, '', '\n', 1000);
  if ((await helper.call('SPAWN', { slot: 1, role: Role.ZYGOTE })).code === Code.OK) await report;
  await helper.slot(2);
  const answer = helper.invoke(2, 'x', 300);
  const forked = await helper.call('FORK', { slot: 2, source: 1, role: Role.LEAF, name: ['1'] });
  if (forked.code === Code.OK) await answer;
  for (const slot of [1, 2]) await helper.call('DESTROY', { slot });
};

const install: Scenario = async (helper) => {
  mkdirSync(join(helper.fixture.dir, 'packages/staged/files'), { recursive: true });
  mkdirSync(join(helper.fixture.dir, 'packages/staged/files/a/b/c'), { recursive: true });
  await helper.slot(1, Pool.INSTALL);
  await helper.call('SPAWN', { slot: 1, role: Role.INSTALLER, name: ['', 'staged'] });
  await helper.call('DESTROY', { slot: 1 });
  await helper.call('REMOVE', { arg: [Area.PACKAGES], name: ['staged'] });
};

describePrivileged('a helper whose calls fail', () => {
  let fixture: Fixture;
  let plan: FaultPlan;
  let helper: RawHelper;
  let baseline: readonly number[];

  const begin = async (): Promise<void> => {
    helper = new RawHelper(fixture, { binary: plan.binary, env: plan.env });
    await helper.greet();
    baseline = (await helper.diag()).value;
  };

  beforeEach(() => {
    fixture = new Fixture({ below: '/dev/shm' });
    fixture.write({ 'worker/code/1/f.py': 'def f(e): return e\n' });
    plan = new FaultPlan(fixture.dir);
  });

  afterEach(async () => {
    await helper.close();
    expect(fixture.cgroups()).toEqual([]);
    plan.close();
    fixture.remove();
  });

  /** Destroys and makes every slot again. @returns the description of a fault, if there is one */
  async function aftermath(): Promise<string | undefined> {
    const isOver = await Promise.race([
      helper.ended,
      new Promise<undefined>((resolve) => setTimeout(resolve, 15, undefined)),
    ]);
    if (isOver !== undefined) {
      // The main loop, the control socket or the completion pipe failed. The helper cleans up and ends.
      await helper.close();
      const left = fixture.cgroups();
      await begin();
      if (isOver.signal !== null || ![0, Stage.EVENTS].includes(isOver.code ?? -1))
        return `ended: ${JSON.stringify(isOver)}`;
      return left.length > 0 ? `left ${left.join(' ')}` : undefined;
    }
    for (const slot of [1, 2, 3]) {
      const { code, detail } = await helper.call('DESTROY', { slot });
      if (code !== Code.OK && code !== Code.STATE) return `slot ${slot}: ${code} ${detail}`;
    }
    for (let wait = 0; wait < 300; wait++) {
      const { value } = await helper.diag();
      if (value.join() === baseline.join()) break;
      if (wait === 299) return `counts ${value.join()} instead of ${baseline.join()}`;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const slots = fixture.slotCgroups();
    return slots.length > 0 ? `left ${slots.join(' ')}` : undefined;
  }

  async function next(): Promise<string | undefined> {
    await helper.slot(NEXT_SLOT);
    const answer = helper.invoke(NEXT_SLOT, 'next', 10_000);
    const spawned = await helper.call('SPAWN', { slot: NEXT_SLOT, role: Role.LEAF, name: ['1'] });
    const text = spawned.code === Code.OK ? await answer : spawned.detail;
    const gone = await helper.call('DESTROY', { slot: NEXT_SLOT });
    return text === '"next"' && gone.code === Code.OK ? undefined : `the next request: ${text} ${gone.detail}`;
  }

  it.each([
    ['a leaf', leaf, Errno.EIO],
    ['a fork', fork, Errno.EMFILE],
    ['an installer and a removal', install, Errno.ENOMEM],
  ])('continues to serve: %s', async (name, scenario, errno) => {
    const wrong: string[] = [];
    await begin();
    let injected = 0;
    for (let failAt = 1; failAt < TRIES_MAX; failAt++) {
      plan.arm(failAt, errno);
      await scenario(helper);
      const { isHit, name: call, count } = plan.disarm();
      const stuck = helper.events.find((event) => event.detail === LATE);
      // When umount2 fails, the helper removes the slot twice. The second time must spare the cgroups of another slot.
      const isDue = failAt % 10 === 0 || call === 'umount2';
      const trouble = (await aftermath()) ?? (isDue ? await next() : undefined);
      if (process.env['FAULT_TRACE'] !== undefined)
        process.stderr.write(`${failAt}/${count} ${call} ${trouble ?? ''} ${Date.now() % 1000000}\n`);
      if (trouble !== undefined || stuck !== undefined)
        wrong.push(`call ${failAt} of ${count}, ${call}: ${trouble ?? 'stuck'}`);
      if (!isHit) break;
      injected++;
      helper.events.length = 0;
      if (wrong.length > 4) break;
    }
    record(`${name}, errno ${errno}: ${injected}`);
    expect(wrong).toEqual([]);
    expect(injected).toBeGreaterThan(30);
    expect(await next()).toBeUndefined();
  });

  it('starts or exits with the stage, and leaves no cgroup', async () => {
    const wrong: string[] = [];
    let injected = 0;
    for (let failAt = 1; failAt < TRIES_MAX; failAt++) {
      plan.arm(failAt);
      helper = new RawHelper(fixture, { binary: plan.binary, env: plan.env });
      const hello = await helper.hello();
      for (const pool of [1, 2]) if (hello.code === Code.OK) await helper.call('NETWORK', { arg: [1, pool] });
      const { isHit, name } = plan.disarm();
      const ending = await helper.close();
      const where = `call ${failAt}, ${name}: ${JSON.stringify(ending)}`;
      if (ending.signal !== null || (ending.code !== 0 && (ending.code ?? 0) < Stage.USAGE)) wrong.push(where);
      const left = fixture.cgroups();
      if (left.length > 0) wrong.push(`${where}: left ${left.join(' ')}`);
      if (!isHit) break;
      injected++;
      if (wrong.length > 4) break;
    }
    record(`start: ${injected}`);
    expect(wrong).toEqual([]);
    expect(injected).toBeGreaterThan(100);
  });
});

/** Writes the numbers for docs/security-report.md. */
function record(line: string): void {
  const dir = join(ROOT, 'out');
  if (existsSync(dir)) appendFileSync(join(dir, 'faults.txt'), `${line}\n`);
}
