/**
 * Sends spans to an OpenTelemetry collector with the official SDK. openTracing() loads the SDK. A worker without an
 * endpoint never loads it.
 */
import type { Attributes, Context, HrTime, Span, SpanStatusCode, Tracer } from '@opentelemetry/api';

export interface SpanBegin {
  name: string;
  /** Start time, in ms of performance.now(). */
  startMs: number;
  attributes: Attributes;
  /** The W3C trace context of the request. */
  parent: TraceContext;
}

export interface TraceContext {
  traceparent?: string | undefined;
  tracestate?: string | undefined;
}

export interface OpenSpan {
  /** Headers with this span's trace context, for the next service. */
  readonly context: Record<string, string>;
  /** Adds a finished child span. */
  child(part: { name: string; startMs: number; endMs: number; attributes: Attributes }): void;
  end(result: { endMs: number; failed: boolean; message?: string | undefined; attributes: Attributes }): void;
}

/** Makes spans. */
export interface Tracing {
  begin(span: SpanBegin): OpenSpan;
  /** Sends the remaining spans. Never rejects; takes at most 3 s. */
  close(): Promise<void>;
}

export interface TracingOptions {
  /** URL of a collector for OTLP over HTTP as JSON, e.g. `http://localhost:4318/v1/traces`. */
  endpoint: string;
  /** Share of the calls without a sampled parent that are recorded, in percent. */
  samplePercent: number;
  /** service.version. */
  version: string;
  /** service.instance.id. */
  instance: string;
}

const CLOSE_MS = 3000;

/**
 * Converts times of a call to wall-clock time with one offset for the call and its parts. The SDK takes a new offset
 * for each span, rounded to 1 ms, so a child span could begin before its parent.
 */
function wallClock(): (ms: number) => HrTime {
  const originMs = Date.now() - performance.now();
  return (ms) => {
    const seconds = Math.floor((originMs + ms) / 1000);
    return [seconds, Math.round((originMs + ms - seconds * 1000) * 1e6)];
  };
}

/** Loads the SDK and connects it to the endpoint. @throws Error when the SDK's packages are not installed */
export async function openTracing(options: TracingOptions): Promise<Tracing> {
  const api = await import('@opentelemetry/api');
  const { W3CTraceContextPropagator } = await import('@opentelemetry/core');
  const { resourceFromAttributes } = await import('@opentelemetry/resources');
  const sdk = await import('@opentelemetry/sdk-trace-base');
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
  const provider = new sdk.BasicTracerProvider({
    resource: resourceFromAttributes({
      'service.name': 'argyle',
      'service.version': options.version,
      'service.instance.id': options.instance,
    }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(options.samplePercent / 100) }),
    spanProcessors: [new sdk.BatchSpanProcessor(new OTLPTraceExporter({ url: options.endpoint }))],
  });
  const tracer = provider.getTracer('argyle', options.version);
  const propagator = new W3CTraceContextPropagator();
  return {
    begin: ({ name, startMs, attributes, parent }) => {
      const outer = propagator.extract(api.ROOT_CONTEXT, parent, api.defaultTextMapGetter);
      const kind = api.SpanKind.SERVER;
      const at = wallClock();
      const span = tracer.startSpan(name, { kind, startTime: at(startMs), attributes }, outer);
      const inner = api.trace.setSpan(outer, span);
      const context: Record<string, string> = {};
      propagator.inject(inner, context, api.defaultTextMapSetter);
      return openSpan({ span, inner, context, tracer, at, errorCode: api.SpanStatusCode.ERROR });
    },
    close: async () => {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, CLOSE_MS)));
      await Promise.race([provider.shutdown().catch(() => undefined), late]);
      clearTimeout(timer);
    },
  };
}

interface Begun {
  span: Span;
  inner: Context;
  context: Record<string, string>;
  tracer: Tracer;
  at: (ms: number) => HrTime;
  errorCode: SpanStatusCode.ERROR;
}

function openSpan({ span, inner, context, tracer, at, errorCode }: Begun): OpenSpan {
  return {
    context,
    child: ({ name, startMs, endMs, attributes }) => {
      if (span.isRecording()) tracer.startSpan(name, { startTime: at(startMs), attributes }, inner).end(at(endMs));
    },
    end: ({ endMs, failed, message, attributes }) => {
      span.setAttributes(attributes);
      if (failed) span.setStatus({ code: errorCode, ...(message === undefined ? {} : { message }) });
      span.end(at(endMs));
    },
  };
}
