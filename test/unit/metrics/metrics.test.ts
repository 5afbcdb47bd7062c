import { StatsRegistry } from '../../../src/metrics';
import { DURATION_BUCKETS, type EndedCall } from '../../../src/metrics/calls';
import { WorkerMetrics } from '../../../src/metrics/prometheus';
import { FixedHistogram } from '../../../src/metrics/series';

describe('StatsRegistry', () => {
  test('has names from their first use, sorted, with whole numbers', () => {
    const stats = new StatsRegistry();
    expect(stats.text()).toBe('{}');
    stats.record('b', 1.2);
    stats.record('b', 2.2);
    stats.count('a');
    expect(stats.text()).toBe('{\n\t"a.cnt": 1,\n\t"b.cnt": 2,\n\t"b.ms-avg": 2\n}');
    expect([stats.countOf('b'), stats.countOf('none')]).toEqual([2, 0]);
  });

  test('passes durations to their watchers', () => {
    const seen: number[] = [];
    const stats = new StatsRegistry({ b: (ms) => void seen.push(ms) });
    stats.record('a', 1);
    stats.record('b', 2);
    expect(seen).toEqual([2]);
  });
});

test('a histogram counts each value once, in the bucket of its bound', () => {
  const histogram = new FixedHistogram([1, 2]);
  expect(histogram.lines('h', '')).toEqual([]);
  for (const value of [0, 1, 1.5, 2, 99]) histogram.observe(value);
  expect(histogram.lines('h', 'a="b"')).toEqual([
    'h_bucket{a="b",le="1"} 2',
    'h_bucket{a="b",le="2"} 4',
    'h_bucket{a="b",le="+Inf"} 5',
    'h_sum{a="b"} 103.5',
    'h_count{a="b"} 5',
  ]);
});

describe('WorkerMetrics', () => {
  const ended = (more: Partial<EndedCall> = {}): EndedCall => ({
    trigger: 'http',
    code: '',
    answered: true,
    queueMs: 1,
    overheadMs: 2,
    importMs: 0,
    cause: '',
    failed: false,
    ...more,
  });

  test('exports no duplicate series, for any name of a function', async () => {
    const metrics = new WorkerMetrics(false);
    for (const name of ['other', 'known']) {
      metrics.requestEnded(name, 200, 0.001);
      metrics.callEnded(name, ended());
    }
    metrics.requestEnded('unknown', 404, 0.001);
    const series = (await metrics.text())
      .split('\n')
      .filter((line) => !line.startsWith('#') && line !== '')
      .map((line) => line.replace(/ \S+$/, ''));
    expect(series.filter((one) => one.includes('lambda="other"')).length).toBeGreaterThan(0);
    expect(series.filter((one, i) => series.indexOf(one) !== i)).toEqual([]);
  });

  test('labels at most one hundred functions', async () => {
    const metrics = new WorkerMetrics(false);
    for (let i = 0; i < 150; i++) metrics.requestEnded(`f${i}`, 200, 0.01);
    metrics.requestEnded('f3', 799, 0.01);
    metrics.requestEnded('f3', 0, 0.01);
    const text = await metrics.text();
    expect(text.match(/argyle_requests_total\{lambda="f\d+",code="200"\}/g)).toHaveLength(100);
    expect(text).toContain('argyle_requests_total{lambda="other",code="200"} 50');
    expect(text).toContain('argyle_requests_total{lambda="f3",code="7xx"} 1');
    expect(text).toContain('argyle_requests_total{lambda="f3",code="cancelled"} 1');
  });

  test('gives no label to a name that no function answered for', async () => {
    const metrics = new WorkerMetrics(false);
    metrics.requestEnded('made-up', 500, 0.01);
    metrics.callEnded('made-up', ended({ answered: false, code: 'LAMBDA_NOT_FOUND' }));
    metrics.callEnded('by-kafka', ended({ trigger: 'kafka' }));
    const text = await metrics.text();
    expect(text).not.toContain('made-up');
    expect(text).toContain('argyle_errors_total{code="LAMBDA_NOT_FOUND"} 1');
    expect(text).toContain('argyle_trigger_calls_total{trigger="kafka"} 1');
    expect(text).toContain('argyle_queue_wait_seconds_count{lambda="by-kafka"} 1');
    expect(text).not.toMatch(/argyle_queue_wait_seconds_count\{lambda="other"\}/);
  });

  test('exports waits, overheads, imports, limits and errors by function', async () => {
    const metrics = new WorkerMetrics(false);
    metrics.callEnded('f', ended({ importMs: 3 }));
    metrics.callEnded('f', ended());
    metrics.callEnded('f', ended({ answered: false, code: 'TIMEOUT' }));
    metrics.oomKilled('f');
    const text = await metrics.text();
    for (const line of [
      'argyle_queue_wait_seconds_bucket{lambda="f",le="0.001"} 2',
      'argyle_platform_overhead_seconds_bucket{lambda="f",le="0.001"} 0',
      'argyle_platform_overhead_seconds_bucket{lambda="f",le="0.0025"} 2',
      'argyle_import_seconds_count{lambda="f"} 1',
      'argyle_timeouts_total{lambda="f"} 1',
      'argyle_oom_kills_total{lambda="f"} 1',
      'argyle_errors_total{code="TIMEOUT"} 1',
      'argyle_trigger_calls_total{trigger="http"} 3',
    ])
      expect(text).toContain(`${line}\n`);
  });

  test('counts first calls by the cause of the start, and reads them by function', async () => {
    const metrics = new WorkerMetrics(false);
    metrics.callEnded('f', ended({ cause: 'first' }));
    metrics.callEnded('f', ended({ cause: 'busy', failed: true }));
    metrics.callEnded('f', ended({ cause: 'busy' }));
    metrics.callEnded('f', ended());
    metrics.requestEnded('f', 200, 0.003);
    expect(await metrics.text()).toContain('argyle_cold_calls_total{lambda="f",cause="busy"} 2\n');
    const [reading, ...others] = metrics.readings();
    expect(others).toEqual([]);
    expect(reading).toMatchObject({ lambda: 'f', calls: 4, failed: 1, cold: { first: 1, busy: 2 } });
    expect(reading?.durations.reduce((sum, count) => sum + count, 0)).toBe(1);
    expect(reading?.durations[DURATION_BUCKETS.indexOf(0.005)]).toBe(1);
    metrics.callEnded('unknown', ended({ answered: false, failed: true }));
    expect(metrics.readings().map(({ lambda, failed }) => [lambda, failed])).toEqual([
      ['f', 1],
      ['other', 1],
    ]);
  });

  test('separates starts of 2 ms and 4 ms into different buckets', async () => {
    const metrics = new WorkerMetrics(false);
    metrics.sandboxStarted('spare', 0.0019, 'root');
    metrics.sandboxStarted('fork', 0.004, 'packages');
    const text = await metrics.text();
    expect(text).toContain('argyle_cold_start_seconds_bucket{le="0.0015",kind="spare"} 0');
    expect(text).toContain('argyle_cold_start_seconds_bucket{le="0.002",kind="spare"} 1');
    expect(text).toContain('argyle_cold_start_seconds_bucket{le="0.003",kind="fork"} 0');
    expect(text).toContain('argyle_starts_total{kind="fork",tier="packages"} 1');
  });

  test('counts instances in four states, without waiting requests', async () => {
    const metrics = new WorkerMetrics(false);
    const counts = { busy: 1, idle: 2, paused: 3, starting: 4, queued: 5 };
    metrics.observe({ instances: () => counts, queued: () => counts.queued });
    const text = await metrics.text();
    expect(text.match(/argyle_instances\{state="\w+"\} \d/g)).toHaveLength(4);
    expect(text).not.toContain('queued"}');
    expect(text).toContain('argyle_queued_requests 5');
  });

  test("adds up processor time and memory of a function's sandboxes", async () => {
    const metrics = new WorkerMetrics(false);
    metrics.callEnded('f', ended());
    const used = { memBytes: 1000, cpuUsec: 500_000 };
    const gone = { usage: () => Promise.reject(new Error('gone')) };
    const sandbox = () => ({ usage: () => Promise.resolve({ ...used }) });
    const live = [
      ['f', sandbox()] as const,
      ['f', sandbox()] as const,
      ['g', sandbox()] as const,
      ['f', gone] as const,
    ];
    metrics.observe({
      instances: () => ({ busy: 0, idle: 0, paused: 0, starting: 0 }),
      queued: () => 0,
      sandboxes: () => live,
    });
    const first = await metrics.text();
    expect(first).toContain('argyle_function_memory_bytes{lambda="f"} 2000');
    expect(first).toContain('argyle_function_memory_bytes{lambda="other"} 1000');
    expect(first).toContain('argyle_function_cpu_seconds_total{lambda="f"} 1\n');
    used.cpuUsec = 700_000;
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect(await metrics.text()).toContain('argyle_function_cpu_seconds_total{lambda="f"} 1.4\n');
  });

  test('does not share numbers between two workers in one process', async () => {
    const [one, two] = [new WorkerMetrics(false), new WorkerMetrics(false)];
    one.sandboxStarted('fork', 0.002);
    expect(await one.text()).toContain('argyle_cold_start_seconds_count{kind="fork"} 1');
    expect(await two.text()).not.toContain('kind="fork"');
  });
});
