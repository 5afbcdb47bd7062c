/** Spans of calls, for workers with an OTLP collector. */
import { hostname } from 'node:os';
import type { Config } from '../../config';
import { ArgyleError } from '../../errors';
import { CallTracer } from '../../event/call/spans';
import { openTracing } from '../../metrics/spans';
import type { Closers } from '../closers';
import { ownVersion } from '../../config/own-version';

/** Makes the tracer, undefined without argyle.otlp_endpoint. @throws ArgyleError CONFIG_INVALID without the SDK */
export async function makeTracer(
  { argyle, worker_port: port }: Config,
  closers: Closers,
): Promise<CallTracer | undefined> {
  const { otlp_endpoint: endpoint, otlp_sample_percent: samplePercent } = argyle;
  if (endpoint === '') return undefined;
  const options = { endpoint, samplePercent, version: ownVersion(), instance: `${hostname()}:${port}` };
  const tracing = await openTracing(options).catch((cause: unknown) => {
    const message = 'argyle.otlp_endpoint needs the optional @opentelemetry packages: npm install';
    throw new ArgyleError('CONFIG_INVALID', message, { cause, field: 'argyle.otlp_endpoint', value: endpoint });
  });
  closers.add(() => tracing.close());
  return new CallTracer(tracing);
}
