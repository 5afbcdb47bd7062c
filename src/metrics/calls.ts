/** Metrics of calls, by function. */
import { STATUS_CODES } from 'node:http';
import { block, Counts, FixedHistogram } from './series';

/**
 * Maximum number of functions with their own label. All further functions share `other`, which bounds the number of
 * series.
 */
const MAX_LAMBDA_LABELS = 100;
const OTHER = 'other';

/** Bucket bounds in seconds, from a warm echo to the longest default runtime. */
export const DURATION_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** Bucket bounds in seconds. Waits and the platform's own time are mostly below 1 ms. */
const WAIT_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30];

/** One finished call, over HTTP or from a trigger. */
export interface EndedCall {
  trigger: string;
  /** Code of the call's error; '' for none. */
  code: string;
  /** Whether a function answered the call. */
  answered: boolean;
  queueMs: number;
  overheadMs: number;
  /** Import of the handler, ms; 0 unless this call triggered it. */
  importMs: number;
  /** Cause of the instance's start if this was its first call; otherwise ''. */
  cause: string;
  /** Whether the worker or the function caused the failure. */
  failed: boolean;
}

/** Metrics of one function so far. */
export interface FunctionReading {
  lambda: string;
  calls: number;
  failed: number;
  /** First calls of instances, by the cause of the instance's start. */
  cold: Record<string, number>;
  /** Request counts per bucket of DURATION_BUCKETS, then the count above the last bound. */
  durations: number[];
}

interface OfFunction {
  calls: number;
  failed: number;
  cold: Counts<string>;
  requests: Counts<string>;
  durations: FixedHistogram;
  waits: FixedHistogram;
  overheads: FixedHistogram;
  imports: FixedHistogram;
  oomKills: number;
  timeouts: number;
}

function newFunction(): OfFunction {
  return {
    calls: 0,
    failed: 0,
    cold: new Counts(),
    requests: new Counts(),
    durations: new FixedHistogram(DURATION_BUCKETS),
    waits: new FixedHistogram(WAIT_BUCKETS),
    overheads: new FixedHistogram(WAIT_BUCKETS),
    imports: new FixedHistogram(DURATION_BUCKETS),
    oomKills: 0,
    timeouts: 0,
  };
}

export class CallMetrics {
  private readonly functions = new Map<string, OfFunction>();
  private readonly other = newFunction();
  private readonly triggers = new Counts<string>();
  private readonly errors = new Counts<string>();

  /** Records one finished request to /run. @param status 0 when the client left before a response */
  requestEnded(lambda: string, status: number, seconds: number): void {
    // A name gets its own label only after a success, so that made-up names in requests cannot use up the labels.
    const of = this.at(lambda, status >= 200 && status < 400);
    of.requests.add(codeLabel(status));
    of.durations.observe(seconds);
  }

  callEnded(lambda: string, call: EndedCall): void {
    this.triggers.add(call.trigger);
    const of = this.at(lambda, call.answered);
    of.calls++;
    if (call.failed) of.failed++;
    if (call.cause !== '') of.cold.add(call.cause);
    if (call.code !== '') {
      this.errors.add(call.code);
      if (call.code === 'TIMEOUT') of.timeouts++;
    }
    if (!call.answered) return;
    of.waits.observe(call.queueMs / 1000);
    of.overheads.observe(call.overheadMs / 1000);
    if (call.importMs > 0) of.imports.observe(call.importMs / 1000);
  }

  /** Records a sandbox that was killed at its memory limit. */
  oomKilled(lambda: string): void {
    this.at(lambda, false).oomKills++;
  }

  /** The function's label: its name, or `other`. */
  labelOf(lambda: string): string {
    return this.functions.has(lambda) ? lambda : OTHER;
  }

  /** Metrics of each function with a label, and of all others together, if there were calls. */
  readings(): FunctionReading[] {
    return [...this.functions, [OTHER, this.other] as const].flatMap(([lambda, { calls, failed, cold, durations }]) =>
      calls === 0 && lambda === OTHER ? [] : [{ lambda, calls, failed, cold: cold.all, durations: durations.values }],
    );
  }

  /** All series in the text format of Prometheus. */
  text(): string {
    const all = [...this.functions, [OTHER, this.other] as const];
    const each = (lines: (of: OfFunction, labels: string) => string[]): string[] =>
      all.flatMap(([name, of]) => lines(of, `lambda="${name}"`));
    const count = (name: string, read: (of: OfFunction) => number): string[] =>
      each((of, labels) => (read(of) === 0 ? [] : [`${name}{${labels}} ${read(of)}`]));
    const histogram = (name: string, help: string, read: (of: OfFunction) => FixedHistogram): string =>
      block(
        name,
        'histogram',
        help,
        each((of, labels) => read(of).lines(name, labels)),
      );
    const requests = each((of, labels) => of.requests.lines('argyle_requests_total', 'code', labels));
    const cold = each((of, labels) => of.cold.lines('argyle_cold_calls_total', 'cause', labels));
    const errors = this.errors.lines('argyle_errors_total', 'code');
    const triggers = this.triggers.lines('argyle_trigger_calls_total', 'trigger');
    const ooms = count('argyle_oom_kills_total', ({ oomKills }) => oomKills);
    const timeouts = count('argyle_timeouts_total', (of) => of.timeouts);
    return [
      block('argyle_requests_total', 'counter', 'Requests to /run by function and status.', requests),
      histogram(
        'argyle_request_duration_seconds',
        'From the request to the end of its response.',
        ({ durations }) => durations,
      ),
      histogram('argyle_queue_wait_seconds', 'Time that calls waited for an instance.', ({ waits }) => waits),
      histogram(
        'argyle_platform_overhead_seconds',
        "Time of calls less the sandbox's own, and the client's for its body.",
        ({ overheads }) => overheads,
      ),
      histogram('argyle_import_seconds', 'Imports of handlers, as their guests tell.', ({ imports }) => imports),
      block('argyle_cold_calls_total', 'counter', 'First calls of instances, by why the instance was made.', cold),
      block('argyle_trigger_calls_total', 'counter', 'Calls of functions by what made them.', triggers),
      block('argyle_errors_total', 'counter', 'Calls that failed, by the code of the error.', errors),
      block('argyle_oom_kills_total', 'counter', 'Sandboxes that ended at their memory limit.', ooms),
      block('argyle_timeouts_total', 'counter', 'Calls that took longer than limits.runtime_sec.', timeouts),
    ].join('');
  }

  private at(lambda: string, earnsLabel: boolean): OfFunction {
    const known = this.functions.get(lambda);
    if (known !== undefined) return known;
    // A function named `other` would duplicate each series.
    if (lambda === OTHER || !earnsLabel || this.functions.size >= MAX_LAMBDA_LABELS) return this.other;
    const of = newFunction();
    this.functions.set(lambda, of);
    return of;
  }
}

/** Known status codes stay. Other codes of a lambda are reduced to their class. */
function codeLabel(status: number): string {
  if (status === 0) return 'cancelled';
  return STATUS_CODES[status] === undefined ? `${Math.floor(status / 100)}xx` : String(status);
}
