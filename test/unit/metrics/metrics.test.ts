import { StatsRegistry } from '../../../src/metrics';
import { WorkerMetrics } from '../../../src/metrics/prometheus';

describe('StatsRegistry', () => {
  test('names appear with their first use, sorted, with whole numbers', () => {
    const stats = new StatsRegistry();
    expect(stats.text()).toBe('{}');
    stats.record('b', 1.2);
    stats.record('b', 2.2);
    stats.count('a');
    expect(stats.text()).toBe('{\n\t"a.cnt": 1,\n\t"b.cnt": 2,\n\t"b.ms-avg": 2\n}');
  });
});

describe('WorkerMetrics', () => {
  test('no more than a hundred functions have labels of their own', async () => {
    const metrics = new WorkerMetrics();
    for (let i = 0; i < 150; i++) metrics.requestEnded(`f${i}`, 200, 0.01);
    metrics.requestEnded('f3', 799, 0.01);
    metrics.requestEnded('f3', 0, 0.01);
    const text = await metrics.text();
    expect(text.match(/argyle_requests_total\{lambda="f\d+",code="200"\}/g)).toHaveLength(100);
    expect(text).toContain('argyle_requests_total{lambda="other",code="200"} 50');
    expect(text).toContain('argyle_requests_total{lambda="f3",code="7xx"} 1');
    expect(text).toContain('argyle_requests_total{lambda="f3",code="cancelled"} 1');
  });

  test('two workers in one process do not share numbers', async () => {
    const [one, two] = [new WorkerMetrics(), new WorkerMetrics()];
    one.sandboxStarted('fork', 0.002);
    expect(await one.text()).toContain('argyle_cold_start_seconds_count{kind="fork"} 1');
    expect(await two.text()).not.toContain('kind="fork"');
  });
});
