/** What /metrics exports. One registry an object, none of them global, so that tests may have several workers. */
import { STATUS_CODES } from 'node:http';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Functions with a label of their own; all further ones share `other`, so that the number of series is bounded. */
const MAX_LAMBDA_LABELS = 100;
const OTHER = 'other';

/** Seconds; from a warm echo to the longest default runtime. */
const DURATION_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Numbers that are read when somebody asks. */
export interface MetricSources {
  instances: () => Record<'busy' | 'idle' | 'paused' | 'starting', number>;
  queued: () => number;
  /** The memory pool in bytes; absent where there is none. */
  memory?: () => { usedBytes: number; totalBytes: number };
  zygotes?: () => number;
  /** Kafka consumers by state; absent where there are none. */
  kafka?: () => Record<'running' | 'waiting', number>;
}

export class WorkerMetrics {
  private readonly registry = new Registry();
  private readonly lambdas = new Set<string>();
  private readonly requests: Counter<'lambda' | 'code'>;
  private readonly durations: Histogram<'lambda'>;
  private readonly starts: Histogram<'kind'>;

  /** @param ofProcess whether to export the process's own numbers; watching them has no end. */
  constructor(ofProcess = true) {
    const registers = [this.registry];
    if (ofProcess) collectDefaultMetrics({ register: this.registry });
    this.requests = new Counter({
      name: 'argyle_requests_total',
      help: 'Requests to /run by function and status.',
      labelNames: ['lambda', 'code'],
      registers,
    });
    this.durations = new Histogram({
      name: 'argyle_request_duration_seconds',
      help: 'From the request to the end of its response.',
      labelNames: ['lambda'],
      buckets: DURATION_BUCKETS,
      registers,
    });
    this.starts = new Histogram({
      name: 'argyle_cold_start_seconds',
      help: 'Time to make a sandbox, by how: fresh process, fork of a zygote, or spare.',
      labelNames: ['kind'],
      buckets: DURATION_BUCKETS,
      registers,
    });
  }

  /** One request to /run that has ended. @param status 0 when the client went away before a response */
  requestEnded(lambda: string, status: number, seconds: number): void {
    const label = this.lambdaLabel(lambda, status);
    this.requests.inc({ lambda: label, code: codeLabel(status) });
    this.durations.observe({ lambda: label }, seconds);
  }

  /** One sandbox made. */
  sandboxStarted(kind: string, seconds: number): void {
    this.starts.observe({ kind }, seconds);
  }

  /** Names where gauges take their values from; to be called once. */
  observe(sources: MetricSources): void {
    const registers = [this.registry];
    new Gauge({
      name: 'argyle_instances',
      help: 'Instances of all functions by state.',
      labelNames: ['state'],
      registers,
      collect() {
        for (const [state, count] of Object.entries(sources.instances())) this.set({ state }, count);
      },
    });
    this.gauge('argyle_queued_requests', 'Requests that wait for code or an instance.', sources.queued);
    const { memory, zygotes, kafka } = sources;
    if (memory !== undefined) {
      this.gauge('argyle_memory_pool_used_bytes', 'Memory charged to the pool.', () => memory().usedBytes);
      this.gauge('argyle_memory_pool_bytes', 'Size of the memory pool.', () => memory().totalBytes);
    }
    if (kafka !== undefined) {
      new Gauge({
        name: 'argyle_kafka_consumers',
        help: 'Kafka consumers by state; those that wait have no broker or no group yet.',
        labelNames: ['state'],
        registers,
        collect() {
          for (const [state, count] of Object.entries(kafka())) this.set({ state }, count);
        },
      });
    }
    if (zygotes !== undefined) this.gauge('argyle_zygotes', 'Zygotes that live.', zygotes);
  }

  /** A gauge of another layer, read when somebody asks. */
  gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  /** The text format of Prometheus. */
  text(): Promise<string> {
    return this.registry.metrics();
  }

  private lambdaLabel(lambda: string, status: number): string {
    if (this.lambdas.has(lambda)) return lambda;
    // A name earns a label by a success: made-up names in requests must not use the labels up.
    if (status < 200 || status >= 400 || this.lambdas.size >= MAX_LAMBDA_LABELS) return OTHER;
    this.lambdas.add(lambda);
    return lambda;
  }
}

/** Known status codes stay; what a lambda makes up is reduced to its class. */
function codeLabel(status: number): string {
  if (status === 0) return 'cancelled';
  return STATUS_CODES[status] === undefined ? `${Math.floor(status / 100)}xx` : String(status);
}
