import fc from 'fast-check';
import { Counter, Registry } from 'prom-client';
import { overview, parseSamples } from '../../../../src/cli/functions/rates';
import { quantile } from '../../../../src/metrics/quantile';

describe('parseSamples', () => {
  it('reads the output of prom-client, with any label', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme' }), fc.nat(), async (label, value) => {
        const registers = [new Registry()];
        const counter = new Counter({ name: 'x_total', help: 'x', labelNames: ['lambda'], registers });
        counter.inc({ lambda: label }, value);
        const text = await (registers[0] as Registry).metrics();
        expect(parseSamples(text)).toEqual([{ name: 'x_total', labels: { lambda: label }, value }]);
      }),
      // A regular expression's dot does not match these line separators.
      { examples: ['\r', '\u2028', '\u2029'].map((label) => [label, 1]) },
    );
  });

  it('skips comments and lines of another form', () => {
    expect(parseSamples('# HELP a b\n\nnonsense\na 1\nb{le="+Inf"} +Inf\n')).toEqual([
      { name: 'a', labels: {}, value: 1 },
      { name: 'b', labels: { le: '+Inf' }, value: Infinity },
    ]);
  });
});

describe('quantile', () => {
  it('interpolates within a bucket', () => {
    const buckets: [number, number][] = [
      [0.01, 0],
      [0.02, 100],
      [Infinity, 100],
    ];
    expect(quantile(0.5, buckets)).toBeCloseTo(0.015);
  });

  it('is NaN without observations, and the last bound above all bounds', () => {
    expect(quantile(0.5, [])).toBeNaN();
    expect(quantile(0.5, [[Infinity, 0]])).toBeNaN();
    const above: [number, number][] = [
      [0.01, 0],
      [Infinity, 3],
    ];
    expect(quantile(0.5, above)).toBe(0.01);
  });
});

test('overview computes rates, failures and the share of cold starts between two readings', () => {
  const reading = (calls: number, failed: number, starts: number): string =>
    [
      `argyle_requests_total{lambda="a",code="200"} ${calls}`,
      `argyle_requests_total{lambda="a",code="502"} ${failed}`,
      `argyle_request_duration_seconds_bucket{le="0.01",lambda="a"} ${calls + failed}`,
      `argyle_request_duration_seconds_bucket{le="+Inf",lambda="a"} ${calls + failed}`,
      `argyle_cold_start_seconds_count{kind="fork"} ${starts}`,
      'argyle_instances{state="paused"} 3',
      'argyle_queued_requests 2',
      `argyle_memory_pool_used_bytes ${100 * 2 ** 20}`,
      `argyle_memory_pool_bytes ${400 * 2 ** 20}`,
    ].join('\n');
  const now = overview(parseSamples(reading(10, 0, 1)), parseSamples(reading(28, 2, 3)), 2);
  expect(now).toEqual({
    perSecond: 10,
    coldShare: 0.1,
    instances: { paused: 3 },
    queued: 2,
    usedMb: 100,
    poolMb: 400,
    functions: [{ lambda: 'a', perSecond: 10, p50Ms: 5, p99Ms: expect.closeTo(9.9) as number, failedShare: 0.1 }],
  });
});
