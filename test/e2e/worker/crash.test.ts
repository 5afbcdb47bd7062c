/** A native crash: the answer names the signal, whoever started the sandbox, and the log has Python's stack. */
import { release } from 'node:os';
import { deploy, invoke } from '../../support/deploy';
import { E2eWorker, ROOT_ZYGOTE } from '../../support/spawned-worker';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 600_000 : 60_000);

const SOURCE = `import ctypes, mmap, os

def segv():
    ctypes.string_at(0)

def ill():
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes([0x0F, 0x0B]))
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()

def abort():
    os.abort()

def leave():
    os._exit(3)

def f(event):
    globals()[event]()
`;
const SEGV = 'killed by signal 11 (SIGSEGV), by a fault or by abort(); see its log';
const ENDS = [
  ['segv', SEGV, 'Segmentation fault'],
  ['abort', SEGV, 'Aborted'],
  ['ill', 'killed by signal 4 (SIGILL)', 'Illegal instruction'],
  ['leave', 'its first process exited with 3', undefined],
] as const;
const KINDS: [string, Record<string, unknown>][] = [
  ['fresh', { features: { import_cache: '' } }],
  ['forked', { ...ROOT_ZYGOTE, argyle: { spares_per_zygote: 0 } }],
  ['spare', ROOT_ZYGOTE],
];
/** The first kernel that keeps the status of a process whose parent is not the helper. */
const [major = 0, minor = 0] = release().split('.').map(Number);
const KEEPS_STATUS = major > 6 || (major === 6 && minor >= 15);

describePrivileged('a native crash', () => {
  describe.each(KINDS)('in a sandbox that was %s', (kind, config) => {
    const worker = new E2eWorker({ config });
    beforeAll(async () => {
      await worker.init();
      await worker.up();
      await deploy(worker.url, { 'f.py': SOURCE }, 'crash');
    });
    afterAll(() => worker.remove());

    it.each(ENDS)('by %s is named in the answer: %s', async (how, said, logged) => {
      const expected = kind === 'fresh' || KEEPS_STATUS ? said : 'its first process ended';
      for (let round = 0; round < 5; round++) {
        const { status, body } = await invoke(worker.url, 'crash', how);
        expect([status, body.split('\n')[0]?.replace(/^.* broke off: /, '')]).toEqual([502, expected]);
      }
      if (logged === undefined) return;
      await until('the log has the stack', () =>
        new RegExp(`Fatal Python error: ${logged}[^]*line \\d+ in ${how}\\b`).test(worker.output()),
      );
    });
  });
});
