/** Constructs statistics and metrics, and counts calls. */
import type { Call } from '../../lambda/serve/call/call';
import { StatsRegistry } from '../../metrics';
import type { EndedCall } from '../../metrics/calls';
import { WorkerMetrics } from '../../metrics/prometheus';
import { ownVersion } from '../../config/own-version';
import { NOT_LOGGED } from './logs';

/**
 * Makes the contract's counters and Prometheus' metrics. Some of the metrics' durations are copied from the counters.
 */
export function makeMetrics(): { stats: StatsRegistry; metrics: WorkerMetrics } {
  const metrics = new WorkerMetrics();
  metrics.buildInfo(ownVersion());
  const stats = new StatsRegistry({
    'pull-lambda': (ms) => {
      metrics.codePulled(ms / 1000);
    },
    'pull-package': (ms) => {
      metrics.packageInstalled(ms / 1000);
    },
  });
  return { stats, metrics };
}

/** The fields of an ended call that the metrics count. */
function endedCall(call: Call): EndedCall {
  const { trigger, fault, queueMs, importMs, headMs, cause } = call;
  const overheadMs = call.overheadMs(performance.now());
  const code = fault?.code ?? '';
  return { trigger, code, answered: headMs > 0, queueMs, overheadMs, importMs, cause, failed: hasFailed(call) };
}

/**
 * Whether the worker or the function is at fault. A client that leaves, or that asks for an unknown function, is no
 * failure.
 */
function hasFailed({ fault, status }: Call): boolean {
  return fault === undefined ? status >= 500 : !NOT_LOGGED.has(fault.code);
}

/** Counts an ended call. A cold start or a failure is also added to the list of recent ones. */
export function countCall(metrics: WorkerMetrics, lambda: string, call: Call): void {
  const ended = endedCall(call);
  metrics.callEnded(lambda, ended);
  if (ended.cause === '' && !ended.failed) return;
  const { id: requestId, cause, start = '', tier, startMs, importMs, sandbox, status, fault } = call;
  const common = { atMs: Date.now(), lambda, requestId };
  if (cause !== '') metrics.recent.started({ ...common, cause, start, tier, startMs, importMs });
  if (!ended.failed) return;
  metrics.recent.failure({ ...common, sandbox, code: ended.code, status, message: fault?.message ?? '' });
}
