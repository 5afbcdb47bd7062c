/** At most one living helper per cgroup name, even while one helper ends and the next one starts. */
import { Code } from '../../../src/helper/protocol';
import { Fixture } from '../../support/helper/fixture';
import { RawHelper } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';

describePrivileged('the name of a cgroup', () => {
  it('stands for an existing cgroup when the previous helper removes its own at the same time', async () => {
    const fixture = new Fixture();
    fixture.write({});
    let helper = new RawHelper(fixture);
    await helper.greet();
    for (let round = 1; round <= 12; round++) {
      // The next helper waits for the lock of this one, which removes its directory at its end.
      const next = new RawHelper(fixture);
      const greeted = next.greet();
      await new Promise((done) => setTimeout(done, round * 10));
      const ended = helper.close();
      await greeted;
      expect((await next.slot(round)).code).toBe(Code.OK);
      expect(await ended).toMatchObject({ code: 0, signal: null });
      helper = next;
    }
    await helper.close();
    expect(fixture.cgroups()).toEqual([]);
    fixture.remove();
  }, 60_000);
});
