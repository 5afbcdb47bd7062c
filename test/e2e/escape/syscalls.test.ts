/**
 * The allowed system calls, computed from the filters of real guests. syscalls/ARCH/ has the lists: leaf.txt and
 * zygote.txt for network `outbound`, and the differences for `none`, for `host` and for an installer.
 * ARGYLE_WRITE_LISTS=1 writes the lists.
 *
 * User Mode Linux cannot return filters (no CONFIG_CHECKPOINT_RESTORE). There, the test uses the filters that the
 * helper's own header builds (profile.c). The kernel shows only the number of each guest's filters and the calls that
 * they refuse. On other kernels the test shows that built and real filters are equal.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Flag, Network, Pool, Role } from '../../../src/helper/protocol';
import { Fixture } from '../../support/helper/fixture';
import { Keeper } from '../../support/helper/keeper';
import { RawHelper } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';
import { ALLOW, ERRNO, judge, KILL_PROCESS, type Program } from './bpf';
import { allowed, ARCH, difference, listFile, numbers, OTHER_ARCHES, readList, X32 } from './lists';

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 600_000 : 120_000);

const ENOSYS = 38;
/** A number beyond the last system call. The kernel has no call between the last one and this number, in any ABI. */
const LAST_NUMBER = 1023;
const NETWORKS = { outbound: Network.OUTBOUND, none: Network.NONE, host: Network.HOST } as const;
const POSITIONS = ['leaf', 'forked leaf', 'zygote', 'forked zygote', 'installer'] as const;
type NetworkName = keyof typeof NETWORKS;
type Position = (typeof POSITIONS)[number];
/** uretprobe and uprobe. Newer kernels run no filter for these calls and refuse a caller that is not at a probe. */
const PROBES = process.arch === 'x64' ? [335, 336] : [];
const ENXIO = 6;
const SIGILL = 4;
const HANDLER = `import ctypes, os
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
def call(number):
    result = LIBC.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
    return ctypes.get_errno() if result < 0 else 0
def call_apart(number):
    pid = os.fork()
    if pid == 0:
        os._exit(call(number))
    status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status)
def f(event):
    return [call(n) for n in event["numbers"]], [call_apart(n) for n in event["probes"]]
`;

/** What the kernel reports of a process. `programs` is null when the kernel cannot return filters. */
interface Installed {
  count: number;
  programs: Program[] | null;
}

function filtersOf(pids: readonly number[]): Installed[] {
  const out = execFileSync('/usr/bin/python3', ['-I', join(__dirname, 'filters.py'), ...pids.map(String)], {
    encoding: 'utf8',
    maxBuffer: 2 ** 24,
  });
  return JSON.parse(out) as Installed[];
}

/** The filters that the helper's header builds, by network, in the order of POSITIONS. */
function builtFilters(): Record<NetworkName, Program[][]> {
  const dir = mkdtempSync(join(tmpdir(), 'argyle-profile-'));
  try {
    const program = join(dir, 'profile');
    const include = join(__dirname, '../../../sandbox-helper');
    execFileSync('cc', ['-D_GNU_SOURCE', `-I${include}`, '-o', program, join(__dirname, 'profile.c')]);
    return JSON.parse(execFileSync(program, { encoding: 'utf8' })) as Record<NetworkName, Program[][]>;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

describePrivileged('system calls', () => {
  const keeper = new Keeper();
  const helpers: RawHelper[] = [];
  const filters = {} as Record<NetworkName, Record<Position, Program[]>>;
  const told = {} as Record<NetworkName, Installed[]>;
  const built = builtFilters();
  const names = numbers();

  async function begin(mode: NetworkName): Promise<RawHelper> {
    const fixture = new Fixture();
    keeper.fixture(fixture);
    fixture.write({ 'worker/code/1/f.py': HANDLER, 'packages/staging/files/x': '' });
    const helper = new RawHelper(fixture);
    helpers.push(helper);
    await helper.hello({ flags: Flag.HOST_USR });
    for (const pool of [Pool.LAMBDA, Pool.INSTALL]) await helper.call('NETWORK', { arg: [NETWORKS[mode], pool] });
    return helper;
  }

  /** Starts a guest of each kind and waits until each has finished its start. */
  async function guests(helper: RawHelper): Promise<number[]> {
    await helper.zygote(3);
    await helper.slot(4);
    const report = helper.exchange(4, { role: 'zygote', sys_path: [], imports: [] }, '', '\n');
    const zygote = await helper.call('FORK', { slot: 4, source: 3, role: Role.ZYGOTE });
    await report;
    await helper.slot(1);
    await helper.slot(2);
    const nothing = { numbers: [], probes: [] };
    const answers = [helper.invoke(1, nothing), helper.invoke(2, nothing)];
    const leaf = await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name: ['1'] });
    const forked = await helper.call('FORK', { slot: 2, source: 3, role: Role.LEAF, name: ['1'] });
    expect(await Promise.all(answers)).toEqual(['[[], []]', '[[], []]']);
    await helper.slot(5, Pool.INSTALL);
    const installer = await helper.call('SPAWN', { slot: 5, role: Role.INSTALLER, name: ['', 'staging'] });
    const usage = await helper.call('USAGE', { slot: 3 });
    const replies = [leaf, forked, usage, zygote, installer];
    expect(replies.map((reply) => reply.code)).toEqual([0, 0, 0, 0, 0]);
    return replies.map((reply) => reply.value[reply === usage ? 7 : 0] ?? 0);
  }

  beforeAll(async () => {
    for (const mode of Object.keys(NETWORKS) as NetworkName[]) {
      const helper = await begin(mode);
      const pids = await guests(helper);
      let found = filtersOf(pids);
      // Only the installer may still be starting.
      for (const end = Date.now() + 30_000; found[4]?.count === 0 && Date.now() < end;) found = filtersOf(pids);
      told[mode] = found;
      filters[mode] = Object.fromEntries(
        POSITIONS.map((position, i) => [position, found[i]?.programs ?? built[mode][i] ?? []]),
      ) as Record<Position, Program[]>;
    }
    if (process.env['ARGYLE_WRITE_LISTS'] === '1') writeLists();
  });

  afterAll(async () => {
    for (const helper of helpers) {
      await helper.close();
      helper.fixture.remove();
    }
    await keeper.end();
  });

  function current(role: 'leaf' | 'zygote', mode: NetworkName): string[] {
    const lines = allowed(filters[mode][role], names);
    return mode === 'outbound' ? lines : difference(allowed(filters.outbound[role], names), lines);
  }

  function writeLists(): void {
    const { leaf, installer } = filters.outbound;
    const lists = { installer: difference(allowed(leaf, names), allowed(installer, names)) } as Record<
      string,
      string[]
    >;
    for (const role of ['leaf', 'zygote'] as const)
      for (const mode of Object.keys(NETWORKS) as NetworkName[])
        lists[mode === 'outbound' ? role : `${role}.${mode}`] = current(role, mode);
    for (const [name, lines] of Object.entries(lists)) {
      mkdirSync(dirname(listFile(name)), { recursive: true });
      writeFileSync(listFile(name), `${lines.join('\n')}\n`);
    }
  }

  describe.each(['leaf', 'zygote'] as const)('of a %s', (role) => {
    it.each(Object.keys(NETWORKS) as NetworkName[])('match the list, with network %s', (mode) => {
      const list = readList(mode === 'outbound' ? role : `${role}.${mode}`);
      expect(list.length).toBeGreaterThan(0);
      expect(difference(list, current(role, mode))).toEqual([]);
    });
  });

  describe.each(Object.keys(NETWORKS) as NetworkName[])('with network %s', (mode) => {
    it.each(POSITIONS.map((position, i) => [position, i] as const))('of a %s match the header', (_, i) => {
      const { count, programs } = told[mode][i] as Installed;
      expect(count).toBe(built[mode][i]?.length);
      if (programs === null) expect(process.env['ARGYLE_VM_MACHINE']).toBe('uml');
      else expect(programs).toEqual(built[mode][i]);
    });

    it.each([
      ['forked leaf', 'leaf', []],
      ['forked zygote', 'zygote', []],
      ['installer', 'leaf', ['- fallocate']], // it writes on the host's disk, where nothing may be reserved
    ] as const)('of a %s match those of a %s', (position, like, but) => {
      expect(filters[mode][position].length).toBe(position === 'forked leaf' ? 2 : 1);
      expect(difference(allowed(filters[mode][like], names), allowed(filters[mode][position], names))).toEqual(but);
    });

    it('of an installer differ from those of a leaf only by the calls in installer.txt', () => {
      const { leaf, installer } = filters[mode];
      expect(difference(readList('installer'), difference(allowed(leaf, names), allowed(installer, names)))).toEqual(
        [],
      );
    });

    it.each(POSITIONS)('of a %s: another ABI ends the process, and an unknown number fails', (position) => {
      const programs = filters[mode][position];
      for (const arch of OTHER_ARCHES)
        expect(judge(programs, { arch }).map((path) => path.verdict)).toEqual([KILL_PROCESS]);
      const passing = judge(programs, { arch: ARCH }).filter((path) => path.verdict !== (ERRNO | ENOSYS));
      for (const path of passing) expect(path.equal.get('nr') ?? -1).toBeLessThanOrEqual(LAST_NUMBER);
      for (const path of passing) expect(path.equal.get('nr') ?? -1).toBeGreaterThanOrEqual(0);
      for (const nr of [X32, X32 + 1, X32 + 512, LAST_NUMBER + 1, 2 ** 31, 2 ** 32 - 1])
        expect(judge(programs, { arch: ARCH, nr }).map((path) => path.verdict)).toEqual([ERRNO | ENOSYS]);
    });
  });

  /** The calls that the filters always refuse, each with its errno. */
  function refused(programs: readonly Program[]): Map<number, number> {
    const found = new Map<number, number>();
    for (let nr = 0; nr <= LAST_NUMBER; nr++) {
      for (const number of process.arch === 'x64' ? [nr, nr + X32] : [nr]) {
        const verdicts = judge(programs, { arch: ARCH, nr: number }).map((path) => path.verdict);
        if (!verdicts.includes(ALLOW)) found.set(number, (verdicts[0] ?? 0) & 0xffff);
      }
    }
    return found;
  }

  it.each([
    ['leaf', 6],
    ['forked leaf', 7],
  ] as const)('that are refused fail when a %s makes them', async (position, slot) => {
    const expected = refused(filters.outbound[position]);
    expect(expected.size).toBeGreaterThan(700);
    const helper = helpers[0] as RawHelper;
    await helper.slot(slot);
    const tried = [...expected.keys()].filter((number) => !PROBES.includes(number));
    const answer = helper.invoke(slot, { numbers: tried, probes: PROBES }, 60_000);
    const fields = { slot, role: Role.LEAF, name: ['1'], source: 3 };
    expect((await helper.call(position === 'leaf' ? 'SPAWN' : 'FORK', fields)).code).toBe(0);
    const [told, probes] = JSON.parse(await answer) as [number[], number[]];
    expect(tried.map((number, i) => [number, told[i]])).toEqual(tried.map((number) => [number, expected.get(number)]));
    for (const result of probes) expect([ENOSYS, ENXIO, -SIGILL]).toContain(result);
  });
});
