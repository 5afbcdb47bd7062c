/** Python's text in huge pages of a zygote, under the zygote's system call filter. A leaf may not collapse pages. */
import { readFileSync } from 'node:fs';
import { Code, Role } from '../../../src/helper/protocol';
import { runGuestScript } from '../../support/guest/script';
import { Fixture } from '../../support/helper/fixture';
import { RawHelper } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';

jest.setTimeout(60_000);

const EINVAL = 22;
const MADV_COLLAPSE = 25;
const HANDLER = `import ctypes, mmap
LIBC = ctypes.CDLL(None, use_errno=True)
def f(event):
    size = 4 << 20
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:] = b"x" * size
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    result = LIBC.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), ctypes.c_int(${MADV_COLLAPSE}))
    return ctypes.get_errno() if result < 0 else 0
`;

/** Bytes of a process's executable memory without a file. */
function ownText(pid: number): number {
  const lines = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n');
  return lines
    .map((line) => /^(\w+)-(\w+) r-xp \w+ 00:00 0 *$/.exec(line))
    .reduce((sum, found) => sum + (found ? parseInt(found[2] ?? '', 16) - parseInt(found[1] ?? '', 16) : 0), 0);
}

describePrivileged('text in huge pages', () => {
  let helper: RawHelper;
  let zygote: number;

  beforeAll(async () => {
    const fixture = new Fixture();
    fixture.write({ 'worker/code/1/f.py': HANDLER });
    helper = new RawHelper(fixture);
    await helper.greet();
    await helper.zygote(1);
    zygote = (await helper.call('USAGE', { slot: 1 })).value[7] ?? 0;
  });

  afterAll(() => helper.finish());

  it('has the same size in a zygote as outside of a sandbox', async () => {
    const outside = runGuestScript('from _argyle import clib\nprint(clib.load().share_text())') as number;
    for (let i = 0; ownText(zygote) !== outside && i < 100; i++) await new Promise((tick) => setTimeout(tick, 50));
    expect(ownText(zygote)).toBe(outside);
  });

  it.each(['FORK', 'SPAWN'] as const)('is not available to a leaf of %s', async (verb) => {
    await helper.slot(2);
    const answer = helper.invoke(2, {});
    const reply = await helper.call(verb, { slot: 2, source: verb === 'FORK' ? 1 : 0, role: Role.LEAF, name: ['1'] });
    expect(reply.code).toBe(Code.OK);
    expect(await answer).toBe(String(EINVAL));
    expect((await helper.call('DESTROY', { slot: 2 })).code).toBe(Code.OK);
  });
});
