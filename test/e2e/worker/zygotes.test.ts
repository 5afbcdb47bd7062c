/** `ol zygote show` against a real worker: the zygotes of its calls, as text and as a drawing. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ZygoteReport } from '../../../src/zygote/policy/types';
import { deploy, invoke } from '../../support/deploy';
import { E2eWorker } from '../../support/spawned-worker';
import { until } from '../../support/until';
import { startTestMirror, type TestMirror } from '../../support/mirror';
import { describePrivileged } from '../../support/privileged';

const spec = (pin: string): string => `argyle-sample-${pin}`;
const NUMERIC = ['cost==1.0.0', 'numeric==1.0.0'].map(spec);
const FRAME = ['frame==1.0.0', 'text==1.1.0', 'tiny==1.1.0'].map(spec);
const TINY = ['tiny==1.1.0'].map(spec);
/** Specs in the notation of zygotes: versions in PEP 440's normal form, and each package after its dependencies. */
const named = {
  numeric: ['cost==1', 'numeric==1'].map(spec),
  frame: ['tiny==1.1', 'text==1.1', 'frame==1'].map(spec),
  tiny: ['tiny==1.1'].map(spec),
};
const TREE = {
  packages: [],
  children: [
    { packages: NUMERIC, children: [{ packages: FRAME, children: [] }] },
    { packages: TINY, children: [] },
  ],
};
const USES_TINY = {
  'f.py': 'import argyle_sample_tiny\n\n\ndef f(event):\n    return argyle_sample_tiny.__name__\n',
  'requirements.txt': `${TINY.join('\n')}\n`,
};

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 600_000 : 120_000);

describePrivileged('ol zygote show', () => {
  let mirror: TestMirror;
  beforeAll(async () => {
    mirror = await startTestMirror();
  });
  afterAll(() => mirror.close());

  async function running(importCache: string, check: (worker: E2eWorker) => Promise<void>): Promise<void> {
    const worker = new E2eWorker({
      config: { pip_mirror: mirror.url, import_cache_tree: TREE, features: { import_cache: importCache } },
    });
    try {
      await worker.init();
      await worker.up();
      await check(worker);
      await worker.down();
    } finally {
      await worker.remove();
    }
  }

  it('prints and draws the running tree', () =>
    running('tree', async (worker) => {
      const report = async (): Promise<ZygoteReport> =>
        (await (await fetch(`${worker.url}/zygotes`)).json()) as ZygoteReport;
      const node = async (packages: readonly string[]) =>
        (await report()).zygotes.find((found) => found.packages.join() === packages.join());
      const ready = async (packages: readonly string[]): Promise<boolean> => {
        const found = await node(packages);
        return found?.state === 'ready' && found.mb > 0;
      };
      // The first calls lead to the zygotes. Instances of new functions are then forked from these zygotes.
      const call = async (name: string, source: string | Record<string, string>): Promise<void> => {
        await deploy(worker.url, source, name);
        const answer = await invoke(worker.url, name, {});
        expect([answer.status, answer.body]).toEqual([200, expect.any(String)]);
      };
      await call('frame-1', 'inspect');
      await call('tiny-1', USES_TINY);
      await until('all zygotes', async () => (await ready(named.frame)) && (await ready(named.tiny)), 60_000);
      const before = [(await node(named.frame))?.forks ?? 0, (await node(named.tiny))?.forks ?? 0] as const;
      await call('frame-2', 'inspect');
      await call('frame-3', 'inspect');
      await call('tiny-2', USES_TINY);
      expect((await node(named.frame))?.forks).toBe(before[0] + 2);
      expect((await node(named.tiny))?.forks).toBe(before[1] + 1);
      const root = (await report()).zygotes.find(({ parent }) => parent === null);
      expect((await node(named.numeric))?.parent).toBe(root?.id);
      expect((await node(named.frame))?.parent).toBe((await node(named.numeric))?.id);

      const svg = join(worker.top, 'tree.svg');
      const shown = await worker.ol('zygote', 'show', '-p', worker.dir, '--svg', svg);
      expect([shown.code, shown.err]).toEqual([0, '']);
      const detail = String.raw` {2}(\d+) forks(?: \(\d+ from spares\))?, \d+ ms saved, (\d+\.\d) MB, \d+ spares(?:, \d+ replicas)?$`;
      const line = (start: string, packages: readonly string[]): RegExpExecArray | null =>
        new RegExp(`^${start}${packages.join(' ')}${detail}`, 'm').exec(shown.out);
      expect(line(String.raw`\(root\)`, [])).not.toBeNull();
      expect(line('[├└]─ ', named.numeric)).not.toBeNull();
      expect(line('[│ ]  └─ ', named.frame)?.[1]).toBe(String(before[0] + 2));
      expect(line('[├└]─ ', named.tiny)?.[1]).toBe(String(before[1] + 1));
      expect(Number(line('[│ ]  └─ ', named.frame)?.[2])).toBeGreaterThan(0);
      expect(shown.out).toMatch(/^tree: 4 zygotes hold [1-9]\d*\.\d MB$/m);
      expect(shown.out).toContain(`wrote ${svg}\n`);
      const drawing = readFileSync(svg, 'utf8');
      expect(drawing).toMatch(/^<svg [^]*<\/svg>\s*$/);
      for (const name of [...named.numeric, ...named.frame, ...named.tiny]) expect(drawing).toContain(name);
    }));

  it('reports that the configuration has no zygotes', () =>
    running('', async (worker) => {
      const answer = await fetch(`${worker.url}/zygotes`);
      expect([answer.status, await answer.json()]).toEqual([
        200,
        { mode: '', memory: { usedMb: 0, limitMb: 0 }, zygotes: [] },
      ]);
      const shown = await worker.ol('zygote', 'show', '-p', worker.dir);
      expect([shown.code, shown.out]).toEqual([0, 'features.import_cache is off: there are no zygotes\n']);
    }));
});
