/** A small `make bench-cache` with sample packages and few calls. It shows that the bench still works. */
import { resolve } from 'node:path';
import { rowsOf } from '../../../bench/cache/report';
import { runCacheBench, warmupOf } from '../../../bench/cache/run';
import { sampleSource } from '../../../bench/cache/source';
import { startTestMirror } from '../../support/mirror';
import { describePrivileged } from '../../support/privileged';

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 900_000 : 300_000);

const CALLS = 20;
/** Each mode needs a worker of its own, whose start takes time. */
const modes = ['tree', 'popularity'] as const;

describePrivileged('the cache bench', () => {
  it('replays one trace on workers with zygotes and in the simulator', async () => {
    const mirror = await startTestMirror();
    const told: string[] = [];
    try {
      const result = await runCacheBench({
        root: resolve(__dirname, '../../..'),
        source: sampleSource(mirror.url),
        trace: {
          functions: 6,
          invocations: CALLS,
          zipf: 1,
          seed: 1,
          ratePerSec: 1,
          drift: 0.2,
          packagesPerFunction: 1,
        },
        modes,
        poolMb: 2000,
        callMb: 100,
        treeShare: 0.5,
        playMs: Infinity,
        settings: { argyle: { warmup_calls: 1 } },
        installed: undefined,
        log: (line) => told.push(line),
      });
      expect(told.filter((line) => line.startsWith('left out'))).toEqual([]);
      const rows = rowsOf(result, warmupOf(CALLS));
      expect(rows.map(({ mode }) => mode)).toEqual([...modes, 'none', 'lru']);
      for (const { mode, live, simulated } of rows) {
        if (live !== undefined) expect([mode, live.calls, live.failed]).toEqual([mode, CALLS - warmupOf(CALLS), 0]);
        expect(simulated?.coldStarts).toBeGreaterThan(0);
      }
      const starts = (mode: string): Set<string> => new Set(result.lives.get(mode)?.calls.map(({ start }) => start));
      expect(rows.filter(({ live }) => live !== undefined)).toHaveLength(modes.length);
      expect(starts('popularity').has('fork') || starts('popularity').has('spare')).toBe(true);
    } finally {
      await mirror.close();
    }
  });
});
