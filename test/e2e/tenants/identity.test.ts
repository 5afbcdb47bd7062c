/**
 * Each sandbox has its own id on the host, as uid and as gid. The tests show what a function can do to change its id,
 * and what the id lets it do to others. Controls do the same where it works: with the function's own id, or with the
 * victim's id on the host.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Role } from '../../../src/helper/protocol';
import { maps } from '../../support/helper/ids';
import { describePrivileged } from '../../support/privileged';
import { TenantRig, ZYGOTE, bodyOf, type Guest, type Way } from './rig';

jest.setTimeout(120_000);

/** The ids of `Uid:` and `Gid:` in a process's status: real, effective, saved, and file system id. */
export function idsOf(pid: number): { uid: number[]; gid: number[] } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const line = (name: string): number[] =>
    (new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)?.[1] ?? '').split('\t').map(Number);
  return { uid: line('Uid'), gid: line('Gid') };
}
const uidOf = (pid: number): number => idsOf(pid).uid[0] ?? 0;
const line = (pid: number, name: string): string =>
  new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';

/** Runs a command on the host with an id as uid and gid. @returns whether the command succeeded */
const succeedsAs = (id: number, ...command: string[]): boolean =>
  spawnSync('setpriv', [`--reuid=${id}`, `--regid=${id}`, '--clear-groups', ...command]).status === 0;

describePrivileged('an identity', () => {
  describe.each(['fresh', 'forked'] as Way[])('(%s)', (way) => {
    const rig = new TenantRig(way);
    let victim: Guest, attacker: Guest, zygote: number;
    const run = async (event: object): Promise<unknown> => rig.run('identity', event);
    /** Ids of root, of nobody, of the neighbouring ids, of the zygote and of other sandboxes. */
    let others: number[];

    beforeAll(async () => {
      rig.fixture.write({ 'worker/code/identity/f.py': readFileSync(join(__dirname, 'identity.py'), 'utf8') });
      await rig.begin();
      victim = await rig.start('identity', { do: 'keep_file' });
      attacker = await rig.start('identity', { do: 'keep_file' });
      zygote = (await rig.helper.call('USAGE', { slot: ZYGOTE })).value[7] ?? 0;
      others = [0, 1, 999, 1001, 65534, uidOf(zygote), uidOf(victim.pid), uidOf(attacker.pid)];
    });
    afterAll(() => rig.end());

    it('is unique on the host and in the sandbox, and has no capability', () => {
      const all = [zygote, victim.pid, attacker.pid].map(idsOf);
      for (const { uid, gid } of all) {
        expect(new Set([...uid, ...gid]).size).toBe(1);
        expect(uid[0]).toBeGreaterThanOrEqual(2_000_000_000);
      }
      expect(new Set(all.map(({ uid }) => uid[0])).size).toBe(3);
      for (const { pid } of [victim, attacker]) {
        for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
          expect(Number(`0x${line(pid, set)}`)).toBe(0);
        expect([line(pid, 'NoNewPrivs'), line(pid, 'Groups').trim()]).toEqual(['1', '']);
        expect(readFileSync(`/proc/${pid}/uid_map`, 'utf8').trim().split(/\s+/).map(Number)).toEqual([
          1000,
          uidOf(pid),
          1,
        ]);
        expect(readFileSync(`/proc/${pid}/gid_map`, 'utf8')).toBe(readFileSync(`/proc/${pid}/uid_map`, 'utf8'));
      }
    });

    it('cannot be changed, by any call and any id', async () => {
      expect(await run({ do: 'take_ids', ids: others })).toEqual([]);
      expect(await run({ do: 'keep_ids' })).toEqual([[1000, 1000, 1000], [1000, 1000, 1000], []]);
    });

    it("gives no access to groups, other namespaces or other processes' memory", async () => {
      expect(await run({ do: 'leave_namespace' })).toEqual({
        setgroups: 'ENOSYS',
        unshare: 'ENOSYS',
        setns: 'EPERM',
        clone3: 'ENOSYS',
        ptrace: 'ENOSYS',
        process_vm_readv: 'ENOSYS',
        proc: 'ENOENT',
      });
      const script = `exec(open(${JSON.stringify(join(__dirname, 'identity.py'))}).read()); print(leave_namespace({}))`;
      const asRoot = execFileSync('python3', ['-c', script], { encoding: 'utf8' });
      for (const works of ['setgroups', 'unshare', 'proc']) expect(asRoot).toContain(`'${works}': None`);
    });

    it('cannot signal its neighbour or its zygote', async () => {
      const told = await run({ do: 'signal_others', pids: [victim.pid, zygote, process.pid] });
      expect(told).toEqual({ [victim.pid]: 'ESRCH', [zygote]: 'ESRCH', [process.pid]: 'ESRCH', own: null });
    });

    // Uses a process of the host with the attacker's id, so that no other protection applies.
    it('has no rights over its neighbour and its zygote', () => {
      const [its, own] = [uidOf(victim.pid), uidOf(attacker.pid)];
      const can = (id: number, pid: number): boolean[] => [
        succeedsAs(id, 'kill', '-0', String(pid)),
        succeedsAs(id, 'prlimit', `--pid=${pid}`, '--core'),
      ];
      expect(can(own, victim.pid)).toEqual([false, false]);
      expect(can(own, zygote)).toEqual([false, false]);
      expect(can(its, victim.pid)[0]).toBe(true);
      for (const file of ['mem', 'environ', 'root/tmp/secret', 'cwd/f.py', 'ns/user', 'maps'])
        expect(succeedsAs(own, 'head', '-c1', `/proc/${victim.pid}/${file}`)).toBe(false);
      expect(readFileSync(`/proc/${victim.pid}/root/tmp/secret`, 'utf8')).toBe('secret');
    });

    it('owns its scratch, which no other user can read', () => {
      for (const { pid } of [victim, attacker])
        for (const place of ['tmp', 'host/shm', 'tmp/secret']) {
          const { uid, gid, mode } = statSync(`/proc/${pid}/root/${place}`);
          expect([uid, gid, mode & 0o077]).toEqual([uidOf(pid), uidOf(pid), 0]);
        }
    });

    it('cannot be forged over a socket', async () => {
      const told = (await run({ do: 'forge_credentials', ids: [...others, 1000] })) as Record<string, string | null>;
      const { '1000 1000': own, ...forged } = told;
      expect(own).toBe(null);
      expect(Object.keys(forged).length).toBeGreaterThan(others.length);
      for (const error of Object.values(forged)) expect(['EPERM', 'EINVAL']).toContain(error);
    });

    it('has its own flags of /dev/null', async () => {
      expect(await run({ do: 'flag_null' })).toEqual([0, 0o4000]);
      expect(await run({ do: 'flag_null' })).toEqual([0, 0o4000]);
    });

    it("cannot enlarge the worker's log pipe or its own pipes", async () => {
      const [before, errors, after] = (await run({ do: 'enlarge_pipes' })) as [number, string[], number];
      expect(errors).toEqual(['EINVAL', 'EINVAL', 'EINVAL']);
      expect(after).toBe(before);
      const own = 'import fcntl, os; print(fcntl.fcntl(os.pipe()[1], 1031, 1 << 17))';
      expect(execFileSync('python3', ['-c', own], { encoding: 'utf8' })).toBe('131072\n');
    });

    // This bound is the whole machine's. The test lowers it only on a virtual machine of its own.
    (process.env['ARGYLE_VM'] === '1' ? it : it.skip)(
      '[optional] has epoll watches of its own, in the guest',
      async () => {
        const bound = '/proc/sys/fs/epoll/max_user_watches';
        const before = readFileSync(bound, 'utf8');
        writeFileSync(bound, '20000');
        try {
          const used = await rig.start('identity', { do: 'watch', times: 1_000_000 });
          expect(bodyOf(used.raw)).toEqual([20000, 'ENOSPC']);
          expect(await run({ do: 'watch', times: 10_000 })).toEqual([10000, null]);
        } finally {
          writeFileSync(bound, before);
        }
      },
    );
  });

  describe('of a nested zygote', () => {
    const rig = new TenantRig('forked');
    beforeAll(() => rig.begin());
    afterAll(() => rig.end());

    it('is unique, and so are those of its children', async () => {
      const { helper } = rig;
      await helper.slot(3);
      const report = helper.exchange(3, { role: 'zygote', sys_path: [], imports: [] }, '', '\n');
      const nested = await helper.call('FORK', { slot: 3, source: ZYGOTE, role: Role.ZYGOTE });
      expect(await report).toContain('"ok": true');
      await helper.slot(4);
      const answer = helper.invoke(4, { do: 'inspect_modules' });
      const leaf = await helper.call('FORK', { slot: 4, source: 3, role: Role.LEAF, name: ['victim'] });
      expect([nested.code, leaf.code]).toEqual([0, 0]);
      expect(await answer).toContain('clean');
      const above = (await helper.call('USAGE', { slot: ZYGOTE })).value[7] ?? 0;
      const [pid = 0, child = 0] = [nested.value[0], leaf.value[0]];
      expect(new Set([above, pid, child].map(uidOf)).size).toBe(3);
      // The map has the ids of this process and of its children, but not the id of the zygote above. helper/ids tries
      // more.
      const has = [pid, child, above].map((one) => maps(pid, uidOf(one)));
      expect([...has, maps(pid, 0)]).toEqual([true, true, false, false]);
    });
  });
});
