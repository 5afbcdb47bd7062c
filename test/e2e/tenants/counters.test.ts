/**
 * One tenant uses up the resources that the kernel counts per user, not per cgroup. Neither the host nor another tenant
 * is affected, because each sandbox is a user of its own.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describePrivileged } from '../../support/privileged';
import { TenantRig, bodyOf, type Way } from './rig';

jest.setTimeout(120_000);

const FEW = 3;
const MANY = 1_000_000;
const WELL = [FEW, ''];

/** Uses the same resource on the host as root. The counts of the sandboxes' user namespaces would go to root. */
function host(means: string): unknown {
  const args = [join(__dirname, 'counters.py'), means, String(FEW)];
  return JSON.parse(execFileSync('/usr/bin/python3', args, { encoding: 'utf8' }));
}

describePrivileged('a function that uses up', () => {
  describe.each(['fresh', 'forked'] as Way[])('(%s)', (way) => {
    const rig = new TenantRig(way);
    beforeAll(() => rig.begin());
    afterAll(() => rig.end());

    /** Uses up the resource, records what is left for the others, and gives the resource back. */
    async function exhaust(means: string): Promise<{ used: number; other: unknown; host: unknown }> {
      const attackers = [];
      for (let i = 0; i < 2; i++) attackers.push(await rig.start('counters', { means, times: MANY }));
      const used = attackers.map((one) => (bodyOf(one.raw) as [number, string])[0]);
      const left = { other: await rig.run('counters', { means, times: FEW }), host: host(means) };
      for (const one of attackers) await rig.helper.call('DESTROY', { slot: one.slot });
      return { used: used[0] ?? 0, ...left };
    }

    it.each(['pipes', 'small pipes'])('%s does not take the share of the host or of other sandboxes', async (means) => {
      const { used, other, host: left } = await exhaust(means);
      expect(used).toBeGreaterThan(means === 'pipes' ? 100 : 1000);
      expect([other, left]).toEqual([WELL, WELL]);
    });

    // Forks of a zygote share the limit of locked memory with which the helper was started, where this limit cannot be
    // raised.
    it("locked memory does not take the host's share, nor that of fresh sandboxes", async () => {
      const { used, other, host: left } = await exhaust('locked memory');
      expect(used).toBeGreaterThan(FEW);
      expect(left).toEqual(WELL);
      if (way === 'fresh') expect(other).toEqual(WELL);
    });

    it('descriptors in flight does not take the share of the host or of other sandboxes', async () => {
      const { used, other, host: left } = await exhaust('descriptors on their way');
      expect(used).toBeGreaterThan(0);
      expect([other, left]).toEqual([WELL, WELL]);
    });

    it("message queues does not take the host's share, because it gets none", async () => {
      const { used, host: left } = await exhaust('message queues');
      expect([used, left]).toEqual([0, WELL]);
    });

    it('queued signals does not take the share of the host or of other sandboxes', async () => {
      const { used, other, host: left } = await exhaust('queued signals');
      expect(used).toBe(256);
      expect([other, left]).toEqual([WELL, WELL]);
    });
  });
});
