/**
 * The metrics of /metrics. Each object has its own registry and none is global, so that tests may run several workers.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { CallMetrics, DURATION_BUCKETS, type EndedCall, type FunctionReading } from './calls';
import { RecentCalls } from './recent';
import { FunctionUsage, type UsedSandbox } from './usage';

/** Bucket bounds in seconds. A spare takes 2 ms and a fork 4 ms, so the buckets must separate these. */
const START_BUCKETS = [
  0.0005, 0.001, 0.0015, 0.002, 0.0025, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  30,
];
/** Bucket bounds in seconds. Installs may take up to installer_limits.runtime_sec. */
const INSTALL_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

const STATES = ['busy', 'idle', 'paused', 'starting'] as const;

/** Values that are read at each scrape. */
export interface MetricSources {
  instances: () => Record<(typeof STATES)[number], number>;
  queued: () => number;
  /** The memory pool in bytes; absent without a pool. */
  memory?: () => { usedBytes: number; totalBytes: number; tiers?: Readonly<Record<string, number>> };
  zygotes?: () => number;
  /** Count of cold starts and failures, by their names in `stats`. */
  counted?: (name: string) => number;
  /** Kafka consumers by state; absent without Kafka. */
  kafka?: () => Record<'running' | 'waiting', number>;
  /** Live sandboxes of functions. */
  sandboxes?: () => Iterable<readonly [lambda: string, sandbox: UsedSandbox]>;
}

/** Label values of lookups and zygote failures, with their names in /stats. */
const LOOKUPS = { hit: 'ImportCache.hit', root: 'ImportCache.root-hit', miss: 'ImportCache.miss' };
const ZYGOTE_FAILURES = {
  create: 'ImportCache.Create-failed',
  fork: 'ImportCache.fork-failed',
  spare: 'ImportCache.spare-failed',
  plan: 'ImportCache.plan-failed',
};

export class WorkerMetrics {
  readonly recent = new RecentCalls();
  private readonly registry = new Registry();
  private readonly calls = new CallMetrics();
  private readonly starts: Histogram<'kind'>;
  private readonly startCounts: Counter<'kind' | 'tier'>;
  private readonly evictions: Counter<'what'>;
  private readonly dropped: Counter<'why'>;
  private readonly helperEnds: Counter;
  private readonly pulls: Histogram;
  private readonly installs: Histogram;

  /** @param ofProcess whether to export process metrics; their collection cannot be stopped */
  constructor(ofProcess = true) {
    const registers = [this.registry];
    if (ofProcess) collectDefaultMetrics({ register: this.registry });
    this.starts = new Histogram({
      name: 'argyle_cold_start_seconds',
      help: 'Time to make a sandbox, by how: fresh process, fork of a zygote, or spare.',
      labelNames: ['kind'],
      buckets: START_BUCKETS,
      registers,
    });
    this.startCounts = new Counter({
      name: 'argyle_starts_total',
      help: 'Sandboxes made, by how, and by the kind of the zygote: root, with packages, or none.',
      labelNames: ['kind', 'tier'],
      registers,
    });
    this.evictions = new Counter({
      name: 'argyle_evictions_total',
      help: 'What was paused or ended to free memory: pause, instance, spare, zygote.',
      labelNames: ['what'],
      registers,
    });
    this.dropped = new Counter({
      name: 'argyle_log_dropped_bytes_total',
      help: 'Output of functions that no log has: beyond the rate of a sandbox, or what the disk did not take.',
      labelNames: ['why'],
      registers,
    });
    this.helperEnds = new Counter({
      name: 'argyle_helper_restarts_total',
      help: 'Helpers that ended by themselves and were started again.',
      registers,
    });
    const pulled = { help: 'Time to fetch, check and unpack the code of a function.', buckets: DURATION_BUCKETS };
    this.pulls = new Histogram({ name: 'argyle_code_pull_seconds', ...pulled, registers });
    const installed = { help: 'Time to install one package, whether it could be or not.', buckets: INSTALL_BUCKETS };
    this.installs = new Histogram({ name: 'argyle_package_install_seconds', ...installed, registers });
  }

  /** Records one finished request to /run. @param status 0 when the client left before a response */
  requestEnded(lambda: string, status: number, seconds: number): void {
    this.calls.requestEnded(lambda, status, seconds);
  }

  /** Records one finished call, over HTTP or from a trigger. */
  callEnded(lambda: string, call: EndedCall): void {
    this.calls.callEnded(lambda, call);
  }

  /** The call metrics of each function. */
  readings(): FunctionReading[] {
    return this.calls.readings();
  }

  /** Records a sandbox that was killed at its memory limit. */
  oomKilled(lambda: string): void {
    this.calls.oomKilled(lambda);
  }

  /** Records the start of one sandbox. @param tier of its zygote */
  sandboxStarted(kind: string, seconds: number, tier = 'none'): void {
    this.starts.observe({ kind }, seconds);
    this.startCounts.inc({ kind, tier });
  }

  /** Records an eviction. */
  evicted(what: string): void {
    this.evictions.inc({ what });
  }

  /** Records lost output of functions: above a sandbox's `rate`, or because the `disk` refused it. */
  logDropped(bytes: number, why: 'rate' | 'disk'): void {
    this.dropped.inc({ why }, bytes);
  }

  /** Records a helper that ended by itself. */
  helperEnded(): void {
    this.helperEnds.inc();
  }

  codePulled(seconds: number): void {
    this.pulls.observe(seconds);
  }

  packageInstalled(seconds: number): void {
    this.installs.observe(seconds);
  }

  /** Exports the build's version. */
  buildInfo(version: string): void {
    const name = 'argyle_build_info';
    const help = 'Always 1; the labels tell the version of Argyle and of Node.';
    const info = new Gauge({ name, help, labelNames: ['version', 'node'], registers: [this.registry] });
    info.set({ version, node: process.version }, 1);
  }

  /** Sets the sources of the gauges. Call it once. */
  observe(sources: MetricSources): void {
    const { instances, memory, zygotes, kafka, counted, sandboxes } = sources;
    this.gauges('argyle_instances', 'Instances of all functions by state.', 'state', () => {
      const counts = instances();
      return Object.fromEntries(STATES.map((state) => [state, counts[state]]));
    });
    this.gauge('argyle_queued_requests', 'Requests that wait for code or an instance.', sources.queued);
    if (memory !== undefined) {
      this.gauge('argyle_memory_pool_used_bytes', 'Memory charged to the pool.', () => memory().usedBytes);
      this.gauge('argyle_memory_pool_bytes', 'Size of the memory pool.', () => memory().totalBytes);
      const help = 'Memory charged to the pool, by what holds it: instance, paused, spare, zygote, installer.';
      this.gauges('argyle_memory_tier_bytes', help, 'tier', () => memory().tiers ?? {});
    }
    if (kafka !== undefined) {
      const help = 'Kafka consumers by state; those that wait have no broker or no group yet.';
      this.gauges('argyle_kafka_consumers', help, 'state', kafka);
    }
    if (zygotes !== undefined) this.gauge('argyle_zygotes', 'Zygotes that live.', zygotes);
    if (counted !== undefined) {
      const found = 'Cold starts by the zygote that was found: with packages (hit), the root, or none (miss).';
      this.counter('argyle_zygote_lookups_total', found, 'result', LOOKUPS, counted);
      const failed = 'Failures of zygotes and spares, by what failed.';
      this.counter('argyle_zygote_failures_total', failed, 'what', ZYGOTE_FAILURES, counted);
    }
    if (sandboxes !== undefined) {
      const usage = new FunctionUsage(sandboxes, (lambda) => this.calls.labelOf(lambda));
      usage.register(this.registry);
    }
  }

  /** Adds a gauge of another layer. It is read at each scrape. */
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
  async text(): Promise<string> {
    return this.calls.text() + (await this.registry.metrics());
  }

  /** Adds a gauge with one series per value of a label. */
  private gauges(name: string, help: string, label: string, read: () => Readonly<Record<string, number>>): void {
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [this.registry],
      collect() {
        for (const [value, count] of Object.entries(read())) this.set({ [label]: value }, count);
      },
    });
  }

  /** Adds a counter that is kept elsewhere. `names` maps label values to the names of the counts. */
  private counter(
    name: string,
    help: string,
    label: string,
    names: Readonly<Record<string, string>>,
    read: (name: string) => number,
  ): void {
    new Counter({
      name,
      help,
      labelNames: [label],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [value, counted] of Object.entries(names)) this.inc({ [label]: value }, read(counted));
      },
    });
  }
}
