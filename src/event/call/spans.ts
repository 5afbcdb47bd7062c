/** A call as OpenTelemetry spans: one span for the request, with child spans for its phases. */
import type { ArgyleError } from '../../errors';
import type { Call } from '../../lambda/serve/call/call';
import { headerValue } from '../../lambda/serve/call/headers';
import type { OpenSpan, Tracing } from '../../metrics/spans';

/** Headers of the W3C trace context. The function gets the context of the worker's span instead of the client's. */
const CONTEXT = new Set(['traceparent', 'tracestate']);

export interface CallSpan {
  /** The function's headers, with this span as the parent. */
  readonly headers: string[];
  /** @param status of the answer; 0 when there was no answer */
  end(status: number, error: ArgyleError | undefined): void;
}

export class CallTracer {
  constructor(private readonly tracing: Tracing) {}

  /** @param headers raw names and values, including the client's trace context */
  begin(name: string, method: string, call: Call, headers: readonly string[]): CallSpan {
    const parent = {
      traceparent: headerValue(headers, 'traceparent'),
      tracestate: headerValue(headers, 'tracestate'),
    };
    const attributes = {
      'faas.invoked_name': name,
      'faas.trigger': call.trigger === 'http' ? 'http' : 'pubsub',
      'http.request.method': method,
      'argyle.request_id': call.id,
    };
    const span = this.tracing.begin({ name: `${method} /run/${name}`, startMs: call.beganMs, attributes, parent });
    const kept = headers.filter((_, i, all) => !CONTEXT.has(all[i - (i % 2)]?.toLowerCase() ?? ''));
    return {
      headers: [...kept, ...Object.entries(span.context).flat()],
      end: (status, error) => {
        end(span, call, status, error);
      },
    };
  }
}

function end(span: OpenSpan, call: Call, status: number, error: ArgyleError | undefined): void {
  const endMs = performance.now();
  let atMs = call.beganMs;
  const step = (name: string, ms: number, attributes: Record<string, string> = {}): void => {
    if (ms > 0) span.child({ name, startMs: atMs, endMs: atMs + ms, attributes });
    atMs += ms;
  };
  step('code', call.codeMs);
  step('body', call.bodyMs);
  if (call.start !== undefined) {
    step('queue', call.queueMs);
    step('start', call.startMs, {
      'argyle.start': call.start,
      ...(call.tier === '' ? {} : { 'argyle.tier': call.tier }),
    });
  }
  if (call.sentMs > 0) {
    atMs = call.sentMs;
    step('import', call.importMs);
    step('handler', (call.servedMs || endMs) - atMs);
  }
  const isFault = error !== undefined || status >= 500 || status === 0;
  span.end({
    endMs,
    failed: isFault,
    message: error?.code,
    attributes: { 'http.response.status_code': status, 'faas.coldstart': call.isCold },
  });
}
