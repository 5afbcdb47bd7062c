/** The charts of the cache bench. */
import type { TopLevelSpec } from 'vega-lite';
import { distributionSpec } from '../plot';
import { summarize } from '../stats';
import type { Life } from './life';
import type { CacheRow } from './report';

/** Distributions of all latencies after the warm-up. */
export function latencySpec(lives: ReadonlyMap<string, Life>, warmup: number): TopLevelSpec {
  const rows = [...lives].map(([name, { calls }]) => {
    const counted = calls.slice(warmup).filter(({ status }) => status === 200);
    const samplesMs = counted.map(({ ms }) => ms);
    const summary = summarize(samplesMs);
    const none = { stolenTicks: [], failures: [], strayed: 0, skipped: undefined, undisturbed: undefined };
    return { name, about: name, samplesMs, summary, ...none };
  });
  return distributionSpec(rows, 'Calls by how long they took');
}

/** Total seconds of all cold starts, live beside simulated. */
export function totalsSpec(rows: readonly CacheRow[]): TopLevelSpec {
  const values = rows.flatMap(({ mode, live, simulated }) => [
    ...(live === undefined ? [] : [{ mode, who: 'live', sec: live.coldTotalMs / 1000 }]),
    ...(simulated === undefined ? [] : [{ mode, who: 'simulated', sec: simulated.totalMs / 1000 }]),
  ]);
  const offset = { field: 'who', sort: ['live', 'simulated'] };
  const y = { field: 'mode', type: 'nominal' as const, sort: null, title: null };
  const x = { field: 'sec', type: 'quantitative' as const, title: 'cold starts together, s' };
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    title: 'Cold starts, live and in the simulator',
    width: 560,
    height: { step: 20 },
    data: { values },
    encoding: { y, yOffset: offset, x },
    layer: [
      { mark: 'bar', encoding: { color: { field: 'who', type: 'nominal', title: null } } },
      {
        mark: { type: 'text', align: 'left', dx: 3, fontSize: 10 },
        encoding: { text: { field: 'sec', type: 'quantitative', format: '.1f' } },
      },
    ],
  };
}
