/**
 * The main job over HTTP. Real pip installs a real package, and a leaf is forked from a zygote that has imported the
 * package.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deploy, invoke } from '../../support/deploy';
import { debug } from '../../support/reports';
import { E2eWorker, type E2eOptions } from '../../support/spawned-worker';
import { until } from '../../support/until';
import { startTestMirror, type TestMirror } from '../../support/mirror';
import { describePrivileged } from '../../support/privileged';

const PINS = ['cost==1.0.0', 'frame==1.0.0', 'numeric==1.0.0', 'text==1.1.0', 'tiny==1.1.0'];
const TREE = {
  packages: [],
  children: [{ packages: PINS.map((pin) => `argyle-sample-${pin}`), children: [] }],
};

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 600_000 : 120_000);

interface Inspected {
  preimported: boolean;
  import_ms: number;
  pid: number;
}

describePrivileged('the main job', () => {
  let mirror: TestMirror;
  beforeAll(async () => {
    mirror = await startTestMirror();
  });
  afterAll(() => mirror.close());

  it.each<NonNullable<E2eOptions['as']>>(['root', 'user'])('as %s', async (as) => {
    const worker = new E2eWorker({
      as,
      config: { pip_mirror: mirror.url, import_cache_tree: TREE, features: { import_cache: 'tree' } },
    });
    try {
      await worker.init();
      await worker.up();
      await deploy(worker.url, 'inspect');
      await deploy(worker.url, { 'f.py': 'def f(event):\n    return event\n' }, 'echo');
      expect((await invoke(worker.url, 'echo', { a: [1, 'x'] })).body).toBe('{"a": [1, "x"]}');

      // The first call does not wait for the zygote; later calls are forked from it. A new upload prevents the reuse of
      // an instance.
      let got: Inspected = { preimported: false, import_ms: -1, pid: 0 };
      await until(
        'a fork of the zygote with the package',
        async () => {
          await deploy(worker.url, 'inspect', `inspect-${String(Date.now())}`);
          const names = (await (await fetch(`${worker.url}/registry/`)).json()) as string[];
          const name =
            names
              .filter((n) => n.startsWith('inspect-'))
              .sort()
              .at(-1) ?? '';
          const answer = await invoke(worker.url, name, {});
          expect(answer.status).toBe(200);
          got = JSON.parse(answer.body) as Inspected;
          return got.preimported;
        },
        60_000,
      );
      expect(got.import_ms).toBeLessThan(5);
      expect(got.pid).toBe(1);

      // On the host, the leaf's parent is a zygote, and the leaf's uid is no account of the host.
      const shown = await debug(worker.url);
      const pids = [...shown.matchAll(/CGROUP PIDS: \d+ \(first (\d+)\)/g)].map((m) => Number(m[1]));
      const zygotes = worker.guests('zygote').map((p) => p.pid);
      const parents = pids.map((pid) =>
        Number(/^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]),
      );
      expect(pids.length).toBeGreaterThan(0);
      expect(parents.some((ppid) => zygotes.includes(ppid))).toBe(true);
      for (const pid of pids) {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        expect(/^Uid:\t(\d+)/m.exec(status)?.[1]).not.toBe('0');
        expect(/^CapEff:\t(\w+)/m.exec(status)?.[1]).toBe('0000000000000000');
        expect(/^NoNewPrivs:\t(\d)/m.exec(status)?.[1]).toBe('1');
        expect(/^Seccomp:\t(\d)/m.exec(status)?.[1]).toBe('2');
      }

      const before = worker.guests().map((p) => p.pid);
      await worker.down();
      await until('all guests gone', () => before.every((pid) => !existsSync(`/proc/${pid}`)));
      expect(worker.cgroups()).toEqual([]);
      expect(worker.mounts()).toEqual([]);
      expect(existsSync(join(worker.dir, 'worker/worker.pid'))).toBe(false);
    } finally {
      await worker.remove();
    }
  });
});
