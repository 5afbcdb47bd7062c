/** Spans of a real worker's calls at a collector. */
import { startCollector, type Collector } from '../../support/collector';
import { describeContract, LiveWorker } from '../../support/contract-target';

const HEADERS = 'def f(event, context):\n    return context.headers\n';
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';

describeContract('spans', () => {
  let collector: Collector;
  const worker = new LiveWorker();
  let name: string;
  let sent: Record<string, string> = {};

  beforeAll(async () => {
    collector = await startCollector();
    await worker.start({ config: { argyle: { otlp_endpoint: collector.endpoint, otlp_sample_percent: 0 } } });
    name = await worker.deploy('spans', { 'f.py': HEADERS });
    const context = (flags: string) => ({ traceparent: `00-${TRACE}-${PARENT}-${flags}`, tracestate: 'a=1' });
    const first = await worker.invoke(name, {}, { headers: { ...context('01'), 'X-Request-Id': 'r9' } });
    sent = JSON.parse(first.body) as Record<string, string>;
    await worker.call('/run/none', { headers: context('01') });
    await worker.invoke(name, {}, { headers: context('00') });
    await worker.invoke(name, {}, { headers: { traceparent: 'nonsense' } });
    expect((await worker.invoke(name, {})).status).toBe(200);
    // A stopping worker sends its remaining spans.
    await worker.stop();
  }, 120_000);
  afterAll(() => {
    collector.close();
  });

  test("are children of the client's span, and the function gets the trace context", () => {
    const root = collector.spans.find((span) => span.name === `POST /run/${name}`);
    expect(root).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, status: { code: 0 } });
    expect(root?.attributes).toContainEqual({ key: 'argyle.request_id', value: { stringValue: 'r9' } });
    expect(root?.attributes).toContainEqual({ key: 'faas.coldstart', value: { boolValue: true } });
    expect(sent).toMatchObject({ traceparent: `00-${TRACE}-${root?.spanId ?? ''}-01`, tracestate: 'a=1' });
    const children = collector.spans.filter(({ parentSpanId }) => parentSpanId === root?.spanId);
    expect(children.map((span) => span.name)).toEqual(expect.arrayContaining(['code', 'start', 'import', 'handler']));
    const SLACK_NS = 1000n;
    for (const child of children) {
      expect(BigInt(child.startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(root?.startTimeUnixNano ?? 0) - SLACK_NS);
      expect(BigInt(child.endTimeUnixNano)).toBeLessThanOrEqual(BigInt(root?.endTimeUnixNano ?? 0) + SLACK_NS);
    }
    expect(Math.abs(Number(BigInt(root?.endTimeUnixNano ?? 0) / 1_000_000n) - Date.now())).toBeLessThan(120_000);
  });

  test('have the error code of a failed call', () => {
    const failed = collector.spans.find((span) => span.name === 'GET /run/none');
    expect(failed?.status).toEqual({ code: 2, message: 'LAMBDA_NOT_FOUND' });
  });

  test('are recorded when the client requests them, else for the configured share of calls', () => {
    const roots = collector.spans.filter((span) => span.name.includes('/run/'));
    expect(roots.map(({ traceId }) => traceId)).toEqual([TRACE, TRACE]);
  });
});
