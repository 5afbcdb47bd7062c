/** How a forked guest gets into its v1 cgroups on hybrid hosts; on pure v2 hosts it is born in all of its own. */
import { readFileSync, readdirSync } from 'node:fs';
import { Code, Role } from '../../../src/helper/protocol';
import { Fixture } from '../../support/helper/fixture';
import { RawHelper } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';
import { sleep, until } from '../../support/until';

jest.setTimeout(120_000);

/** Forks as fast as it can, so that process numbers pass on quickly, and keeps some children. */
const FORKER = `import os, time
def churn():
    while True:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
def f(event):
    for _ in range(event["children"]):
        if os.fork() == 0:
            os.closerange(3, 1024)  # or the answer would never end
            while True:
                time.sleep(60)
    for _ in range(event["churners"]):
        if os.fork() == 0:
            os.closerange(3, 1024)
            churn()
    return os.getpid()
`;

/** The cgroup paths of each process, by hierarchy; '' is v2. Those that end meanwhile are left out. */
function cgroupsOf(): Map<number, Record<string, string>> {
  const found = new Map<number, Record<string, string>>();
  for (const pid of readdirSync('/proc').map(Number).filter(Boolean)) {
    try {
      const paths: Record<string, string> = {};
      for (const line of readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')) {
        const [, hierarchy = '', ...path] = line.split(':');
        paths[hierarchy] = path.join(':');
      }
      found.set(pid, paths);
    } catch {
      continue;
    }
  }
  return found;
}

/** Controllers that v1 has here. */
const v1 = (): string[] => {
  return Object.keys(cgroupsOf().get(process.pid) ?? {}).filter((name) =>
    ['memory', 'pids', 'cpu'].some((wanted) => name.split(',').includes(wanted)),
  );
};

describePrivileged('a forked guest', () => {
  let fixture: Fixture;
  let helper: RawHelper;

  beforeEach(async () => {
    fixture = new Fixture();
    fixture.write({ 'worker/code/1/f.py': FORKER });
    helper = new RawHelper(fixture);
    await helper.greet();
    await helper.zygote(1);
  });

  afterEach(async () => {
    await helper.close();
    expect(fixture.cgroups()).toEqual([]);
    fixture.remove();
  });

  async function fork(slot: number, event: object): Promise<string> {
    await helper.slot(slot, undefined, [256 * 2 ** 20, 64, 0, 0, 0]);
    const answer = helper.invoke(slot, event);
    const reply = await helper.call('FORK', { slot, source: 1, role: Role.LEAF, name: ['1'] });
    expect(reply.code).toBe(Code.OK);
    expect(await answer).toMatch(/^\d+$/);
    const own = cgroupsOf().get(reply.value[0] ?? 0)?.[''];
    expect(own).toContain(fixture.cgroupName);
    return own?.split('/').pop() ?? '?';
  }

  it('is brought into all of its cgroups with what it started, and nobody else is', async () => {
    const hierarchies = v1();
    const names = [];
    for (const slot of [2, 3, 4]) names.push(await fork(slot, { children: 5, churners: 2 }));
    for (const name of names) {
      // Of a process that is ending, the kernel says that it is in no v1 cgroup: those that stay outside count.
      const outside = (): number[] => {
        const mine = [...cgroupsOf()].filter(([, paths]) => paths['']?.endsWith(`/${name}`));
        expect(mine.length).toBeGreaterThanOrEqual(6);
        return mine
          .filter(([, paths]) => !hierarchies.every((h) => paths[h]?.endsWith(`/${name}`)))
          .map(([pid]) => pid);
      };
      await until('all of it has joined', async () => {
        const first = outside();
        await sleep(20);
        return outside().every((pid) => !first.includes(pid));
      });
    }
    for (const paths of cgroupsOf().values())
      for (const name of names)
        for (const h of hierarchies) if (paths[h]?.endsWith(`/${name}`)) expect(paths['']).toMatch(`/${name}`);
  });

  it('joins, however many are forked at once, and whether they live or not', async () => {
    const hierarchies = v1();
    const slots = Array.from({ length: 40 }, (_, index) => index + 2);
    for (const slot of slots) await helper.slot(slot, undefined, [256 * 2 ** 20, 64, 0, 0, 0]);
    const forks = await Promise.all(
      slots.map((slot) => helper.call('FORK', { slot, source: 1, role: Role.LEAF, name: ['1'] })),
    );
    expect(forks.map(({ code }) => code)).toEqual(slots.map(() => Code.OK));
    for (const slot of slots.slice(0, 10)) void helper.call('KILL', { slot });
    for (const { value } of forks.slice(10))
      await until('it has joined', () => {
        const paths = cgroupsOf().get(value[0] ?? 0);
        const name = paths?.['']?.split('/').pop();
        return name !== undefined && hierarchies.every((h) => paths?.[h]?.endsWith(`/${name}`));
      });
    expect(helper.events.filter((event) => event.slot > 11)).toEqual([]);
    for (const slot of slots) expect((await helper.call('DESTROY', { slot })).code).toBe(Code.OK);
  });
});
