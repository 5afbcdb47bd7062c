/**
 * What the kernel counts by user rather than by cgroup, one tenant uses up as far as it can. The host must not notice.
 * What another tenant notices SECURITY.md tells.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describePrivileged } from '../../support/privileged';
import { TenantRig, bodyOf, type Way } from './rig';

jest.setTimeout(120_000);

const FEW = 3;
const MANY = 1_000_000;
const WELL = [FEW, ''];

/** The same on the host, as root, whose count the sandboxes' user namespaces would go to. */
function host(means: string): unknown {
  const args = [join(__dirname, 'counters.py'), means, String(FEW)];
  return JSON.parse(execFileSync('/usr/bin/python3', args, { encoding: 'utf8' }));
}

describePrivileged('a function that uses up', () => {
  describe.each(['fresh', 'forked'] as Way[])('(%s)', (way) => {
    const rig = new TenantRig(way);
    beforeAll(() => rig.begin());
    afterAll(() => rig.end());

    /** Uses all of it up, looks what is left for whom, and gives it back. */
    async function exhaust(means: string): Promise<{ used: number; other: unknown; host: unknown }> {
      const attackers = [];
      for (let i = 0; i < 2; i++) attackers.push(await rig.start('counters', { means, times: MANY }));
      const used = attackers.map((one) => (bodyOf(one.raw) as [number, string])[0]);
      const left = { other: await rig.run('counters', { means, times: FEW }), host: host(means) };
      for (const one of attackers) await rig.helper.call('DESTROY', { slot: one.slot });
      return { used: used[0] ?? 0, ...left };
    }

    it('pipes leaves the host its own, and others small ones', async () => {
      expect((await exhaust('pipes')).host).toEqual(WELL);
      const { used, other } = await exhaust('small pipes');
      expect(used).toBeGreaterThan(1000);
      expect(other).toEqual(WELL);
    });

    it('locked memory leaves the host its own', async () => {
      const { used, other, host: left } = await exhaust('locked memory');
      expect(used).toBeGreaterThan(FEW);
      expect(left).toEqual(WELL);
      if (way === 'fresh') expect(other).toEqual(WELL);
    });

    it('descriptors on their way leaves the host its own', async () => {
      const { used, host: left } = await exhaust('descriptors on their way');
      expect(used).toBeGreaterThan(0);
      expect(left).toEqual(WELL);
    });

    it('message queues leaves the host its own', async () => {
      expect((await exhaust('message queues')).host).toEqual(WELL);
    });

    it('queued signals leaves the host its own', async () => {
      expect((await exhaust('queued signals')).host).toEqual(WELL);
    });

    if (way === 'fresh')
      it('queued signals leaves others theirs', async () => {
        expect((await exhaust('queued signals')).other).toEqual(WELL);
      });
  });
});
