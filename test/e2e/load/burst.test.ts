/**
 * Simultaneous first calls. A package is imported once, or by a few processes at a time, and no call waits for all
 * imports.
 */
import { availableParallelism } from 'node:os';
import { deploy, invoke } from '../../support/deploy';
import { E2eWorker } from '../../support/spawned-worker';
import { startTestMirror, type TestMirror } from '../../support/mirror';
import { describePrivileged } from '../../support/privileged';

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 600_000 : 180_000);

const CALLS = 50;
/** Import time of argyle-sample-heavy, in ms. */
const IMPORT_MS = 300;
/** Allowance for a loaded machine, as a factor. A stampede takes at least this many times as long. */
const SLACK = 4;

interface Answer {
  /** Id of the process that imported the handler. */
  id: string;
  /** Whether the package had been imported before the handler. */
  ahead: boolean;
}

const uses = (pins: string[], more: Record<string, string> = {}): Record<string, string> => ({
  'f.py': `import os
import sys

module = "argyle_sample_${pins[0]?.split('=')[0] ?? ''}"
ahead = module in sys.modules
__import__(module)
id = os.urandom(8).hex()


def f(event):
    return {"id": id, "ahead": ahead}
`,
  'requirements.txt': pins.map((pin) => `argyle-sample-${pin}\n`).join(''),
  ...more,
});
const HEAVY = ['heavy==1.0.0', 'cost==1.0.0'];
const FRESH = { 'ol.yaml': 'reuse-sandbox: false\n' };

describePrivileged('simultaneous first calls', () => {
  let mirror: TestMirror;
  let worker: E2eWorker;
  beforeAll(async () => {
    mirror = await startTestMirror();
  });
  afterAll(() => mirror.close());
  afterEach(async () => {
    await worker.down();
    await worker.remove();
  });

  async function start(importCache: string): Promise<void> {
    const limits = { mem_mb: 100, procs: 32 };
    // No zygote has the packages before the first call.
    const argyle = { upload_zygotes: false };
    worker = new E2eWorker({
      config: { pip_mirror: mirror.url, mem_pool_mb: 20_000, limits, argyle, features: { import_cache: importCache } },
    });
    await worker.init();
    await worker.up();
  }

  /** Deploys a function and installs its packages. */
  const install = (name: string, source: Record<string, string>): Promise<string> =>
    deploy(worker.url, source, name, 'wait');

  /** Calls all functions at once. Every call must be answered. */
  async function call(names: readonly string[]): Promise<{ answers: Answer[]; ms: number }> {
    const startMs = performance.now();
    const answers = await Promise.all(names.map((name) => invoke(worker.url, name, {})));
    const ms = performance.now() - startMs;
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    return { answers: answers.map(({ body }) => JSON.parse(body) as Answer), ms };
  }

  const importedBy = (answers: readonly Answer[]): number =>
    new Set(answers.filter(({ ahead }) => !ahead).map(({ id }) => id)).size;
  const repeated = (count: number, names: readonly string[]): string[] =>
    Array.from({ length: count }, (_, n) => names[n % names.length] ?? '');

  it('import a package only a few times for all functions with the same packages', async () => {
    await start('popularity');
    await install('one', uses(HEAVY, FRESH));
    const one = await call(repeated(CALLS, ['one']));
    // Each call has its own sandbox. The starts that begin before others wait may import the package themselves.
    expect(new Set(one.answers.map(({ id }) => id)).size).toBe(CALLS);
    expect(importedBy(one.answers)).toBeLessThanOrEqual(availableParallelism() + 1);
    expect(one.ms).toBeLessThan((SLACK * CALLS * IMPORT_MS) / 10);

    // A different set of packages needs a different zygote.
    const others = Array.from({ length: 10 }, (_, n) => `other-${n}`);
    for (const name of others) await install(name, uses([...HEAVY, 'tiny==1.1.0'], FRESH));
    const many = await call(repeated(CALLS, others));
    expect(importedBy(many.answers)).toBeLessThanOrEqual(availableParallelism() + 1);
  });

  it('start a few sandboxes at a time without zygotes, and cancel unneeded starts', async () => {
    await start('');
    await install('one', uses(HEAVY));
    const { answers, ms } = await call(repeated(CALLS, ['one']));
    // The first instances serve later calls in almost no time.
    expect(new Set(answers.map(({ id }) => id)).size).toBeLessThanOrEqual(4 * availableParallelism());
    expect(ms).toBeLessThan((SLACK * CALLS * IMPORT_MS) / 10);
  });

  it('import a package that zygotes exclude once in each sandbox', async () => {
    await start('popularity');
    await install('threads', uses(['threads==1.0.0'], FRESH));
    const { answers } = await call(repeated(10, ['threads']));
    expect(importedBy(answers)).toBe(10);
  });

  it('start all sandboxes of a function that only waits at the same time', async () => {
    await start('');
    const source = {
      'f.py': 'import time\n\n\ndef f(event):\n    time.sleep(1)\n    return {"id": "", "ahead": False}\n',
    };
    await install('waits', source);
    const { ms } = await call(repeated(20, ['waits']));
    // Consecutive imports on each processor would take ten times as long.
    expect(ms).toBeLessThan(5000);
  });
});
