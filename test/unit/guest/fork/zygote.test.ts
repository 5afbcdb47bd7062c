import path from 'node:path';
import { Guest } from '../../../support/guest/guest';

interface Report {
  ok: boolean;
  imports: { spec: string; ms: number; kb: number; error: string | null }[];
  threads: number;
  modules: number;
}

const FILES = {
  'packages/alpha==1.0/files/alpha.py': 'import time\ntime.sleep(0.02)\nblob = bytearray(20 << 20)\n',
  'packages/beta==2.0/files/beta.py': 'import alpha\n',
  'packages/broken==1/files/broken.py': 'raise ValueError("no")\n',
  'packages/broken==1/files/after.py': 'print("after was tried")\n',
  'packages/threads==1/files/threads.py':
    'import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n',
  'packages/exits==1/files/exits.py': 'import sys\nsys.exit(0)\n',
};

async function boot(specs: Record<string, string[]>): Promise<[Guest, Report]> {
  const guest = Guest.start('zygote', FILES);
  const report = await guest.line({
    role: 'zygote',
    sys_path: Object.keys(specs).map((spec) => path.join(guest.root, 'packages', spec, 'files')),
    imports: Object.entries(specs).map(([spec, modules]) => ({ spec, modules })),
  });
  return [guest, report as unknown as Report];
}

describe('zygote', () => {
  test('also imports submodules, and skips those that fail', async () => {
    const guest = Guest.start('zygote', {
      'packages/lib==1/files/lib/__init__.py': '',
      'packages/lib==1/files/lib/part.py': 'import sys\nprint("part is there")\n',
      'packages/lib==1/files/lib/broken.py': 'raise ValueError("no")\n',
      'packages/lib==1/files/lib/exits.py': 'import sys\nsys.exit(3)\n',
    });
    const submodules = ['lib.broken', 'lib.exits', 'lib.absent', 'lib.part'];
    const report = await guest.line({
      role: 'zygote',
      sys_path: [path.join(guest.root, 'packages/lib==1/files')],
      imports: [{ spec: 'lib==1', modules: ['lib'], submodules }],
    });
    const [lib] = (report as unknown as { imports: { error: string | null; dropped: string[] }[] }).imports;
    expect(lib).toMatchObject({ error: null, dropped: ['lib.broken', 'lib.exits', 'lib.absent'] });
    await guest.printed(/part is there/);
    await guest.stop();
  });

  test('imports in order and reports each cost', async () => {
    const [guest, report] = await boot({ 'alpha==1.0': ['alpha'], 'beta==2.0': ['beta'] });
    expect(report.imports.map((line) => [line.spec, line.error])).toEqual([
      ['alpha==1.0', null],
      ['beta==2.0', null],
    ]);
    const [alpha, beta] = report.imports;
    expect(alpha?.ms).toBeGreaterThan(20);
    expect(beta?.ms).toBeLessThan(20);
    expect(alpha?.kb).toBeGreaterThan(15_000);
    expect(beta?.kb).toBeLessThan(5_000);
    expect(report.modules).toBeGreaterThan(100);
    await guest.stop();
  });

  test('continues after a failed package, names the error and imports its other modules', async () => {
    const [guest, report] = await boot({
      'broken==1': ['broken', 'after'],
      'exits==1': ['exits'],
      'gone==1': ['gone'],
      'alpha==1.0': ['alpha'],
    });
    expect(report.imports.map((line) => line.error)).toEqual([
      'broken: ValueError: no',
      'exits: SystemExit: 0',
      "gone: ModuleNotFoundError: No module named 'gone'",
      null,
    ]);
    await guest.printed(/after was tried/);
    await guest.printed(/Traceback [^]*ValueError: no/);
    await guest.stop();
  });

  test('counts the threads that an import started', async () => {
    const [plain, none] = await boot({});
    expect(none.threads).toBe(1);
    await plain.stop();
    const [guest, report] = await boot({ 'threads==1': ['threads'] });
    expect(report.threads).toBe(2);
    await guest.stop();
  });

  test('refuses each FORK order without libguest.so', async () => {
    const [guest, report] = await boot({});
    expect(report.ok).toBe(false);
    await guest.printed(/zygote: cannot fork: .*libguest\.so/);
    for (const count of [1, 2]) {
      guest.order('fork');
      await guest.printed(new RegExp(`(link 3 7 -38\n){${count}}`));
    }
    await guest.stop();
  });

  test('ends when the helper closes the link', async () => {
    const [guest] = await boot({});
    guest.order('close');
    expect(await guest.exited).toBe(0);
    await guest.stop();
  });
});
