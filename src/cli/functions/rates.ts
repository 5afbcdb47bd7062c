/** Computes rates and quantiles from two readings of a worker's metrics. Pure. */
import { quantile, type Buckets } from '../../metrics/quantile';

export interface Sample {
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}

const LINE = /^([a-z_:][\w:]*)(?:\{([^]*)\})? (\S+)$/i;
const LABEL = /([a-z_]\w*)="((?:[^"\\]|\\.)*)"/gi;

const unescape = (text: string): string => text.replace(/\\(.)/g, (_all, char: string) => (char === 'n' ? '\n' : char));

/** Parses Prometheus's text format as prom-client writes it. Other lines are skipped. */
export function parseSamples(text: string): Sample[] {
  return text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = LINE.exec(line) ?? [];
    if (name === undefined) return [];
    const pairs = [...labels.matchAll(LABEL)].map(([, key = '', raw = '']) => [key, unescape(raw)] as const);
    return [{ name, labels: Object.fromEntries(pairs), value: value === '+Inf' ? Infinity : Number(value) }];
  });
}

export interface FunctionRow {
  lambda: string;
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Share of the responses with a status of 500 or above. */
  failedShare: number;
}

export interface Overview {
  perSecond: number;
  /** Sandboxes made per request. */
  coldShare: number;
  instances: Record<string, number>;
  queued: number;
  usedMb: number;
  poolMb: number;
  functions: FunctionRow[];
}

/** Sum of the samples with one name that pass `keep`. */
function sum(
  samples: readonly Sample[],
  name: string,
  keep: (labels: Sample['labels']) => boolean = () => true,
): number {
  return samples.reduce((total, s) => total + (s.name === name && keep(s.labels) ? s.value : 0), 0);
}

function bucketsOf(samples: readonly Sample[], lambda: string): Map<string, number> {
  const found = samples.filter(
    ({ name, labels }) => name === 'argyle_request_duration_seconds_bucket' && labels['lambda'] === lambda,
  );
  return new Map(found.map(({ labels, value }) => [labels['le'] ?? '', value]));
}

/** @param seconds time between the two readings */
export function overview(before: readonly Sample[], after: readonly Sample[], seconds: number): Overview {
  const gained = (name: string, keep?: (labels: Sample['labels']) => boolean): number =>
    Math.max(sum(after, name, keep) - sum(before, name, keep), 0);
  const REQUESTS = 'argyle_requests_total';
  const lambdas = new Set(after.flatMap(({ name, labels }) => (name === REQUESTS ? (labels['lambda'] ?? []) : [])));
  const functions = [...lambdas].map((lambda): FunctionRow => {
    const calls = gained(REQUESTS, (labels) => labels['lambda'] === lambda);
    const failed = gained(REQUESTS, (labels) => labels['lambda'] === lambda && /^5/.test(labels['code'] ?? ''));
    const earlier = bucketsOf(before, lambda);
    const buckets: Buckets = [...bucketsOf(after, lambda)].map(([le, count]) => [
      le === '+Inf' ? Infinity : Number(le),
      count - (earlier.get(le) ?? 0),
    ]);
    buckets.sort(([a], [b]) => a - b);
    return {
      lambda,
      perSecond: calls / seconds,
      p50Ms: quantile(0.5, buckets) * 1000,
      p99Ms: quantile(0.99, buckets) * 1000,
      failedShare: calls === 0 ? 0 : failed / calls,
    };
  });
  functions.sort((a, b) => b.perSecond - a.perSecond || a.lambda.localeCompare(b.lambda));
  const calls = gained(REQUESTS);
  const instances = after.filter(({ name }) => name === 'argyle_instances');
  return {
    perSecond: calls / seconds,
    coldShare: calls === 0 ? 0 : gained('argyle_cold_start_seconds_count') / calls,
    instances: Object.fromEntries(instances.map(({ labels, value }) => [labels['state'] ?? '', value])),
    queued: sum(after, 'argyle_queued_requests'),
    usedMb: sum(after, 'argyle_memory_pool_used_bytes') / 2 ** 20,
    poolMb: sum(after, 'argyle_memory_pool_bytes') / 2 ** 20,
    functions,
  };
}
