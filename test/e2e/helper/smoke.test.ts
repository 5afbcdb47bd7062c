import { Role, Code } from '../../../src/helper/protocol';
import { Fixture } from '../../support/helper/fixture';
import { RawHelper } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';

describePrivileged('the raw driver', () => {
  it('spawns, forks and invokes', async () => {
    const fixture = new Fixture();
    fixture.write({ 'worker/code/1/f.py': 'def f(e): return e\n' });
    const helper = new RawHelper(fixture);
    await helper.greet();
    expect((await helper.slot(1)).code).toBe(Code.OK);
    const answer = helper.invoke(1, { a: 1 });
    expect(await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name: ['1'] })).toMatchObject({ code: 0 });
    expect(await answer).toBe('{"a": 1}');
    expect(await helper.zygote(2)).toContain('"ok": true');
    await helper.slot(3);
    const forked = helper.invoke(3, 'x');
    expect(await helper.call('FORK', { slot: 3, source: 2, role: Role.LEAF, name: ['1'] })).toMatchObject({ code: 0 });
    expect(await forked).toBe('"x"');
    expect(await helper.close()).toMatchObject({ code: 0, signal: null });
    expect(fixture.cgroups()).toEqual([]);
    fixture.remove();
  }, 30_000);
});
