/** The dashboard's data by topic. The feed sends a topic when it has changed. */
import type { ShownSetting } from '../../config/shown';
import type { FunctionReading } from '../../metrics/calls';
import type { ColdStart, Failure } from '../../metrics/recent';
import type { ZygoteReport } from '../../zygote/policy/types';
import { functionRows, LastMinute, ratesOf } from './rows';

/** Data sources that are read only while there are watchers. */
export interface DashboardSources {
  version: string;
  /** The worker's settings, without secrets. */
  settings: readonly ShownSetting[];
  readings: () => FunctionReading[];
  recent: { readonly coldStarts: readonly ColdStart[]; readonly failures: readonly Failure[] };
  instances: () => Record<'busy' | 'idle' | 'paused' | 'starting' | 'queued', number>;
  memory: () => { usedBytes: number; totalBytes: number; tiers: Readonly<Record<string, number>> };
  /** Absent for a worker without zygotes. */
  zygotes?: (() => ZygoteReport) | undefined;
}

const MB = 2 ** 20;
/** Rates cover this time, ms. Quantiles and shares cover one minute. */
const RATE_MS = 5000;
const MINUTE_MS = 60_000;

const inMb = (bytes: number): number => Math.round((bytes / MB) * 10) / 10;

/** Takes snapshots and keeps the readings of the last minute. */
export class Snapshots {
  private readonly minute = new LastMinute();

  /** @param clock a monotonic clock, ms */
  constructor(
    private readonly sources: DashboardSources,
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Returns the JSON of all topics by name. */
  take(): Map<string, string> {
    const { version, settings, readings, recent, instances, memory, zygotes } = this.sources;
    const now = { atMs: this.clock(), functions: readings() };
    this.minute.add(now, MINUTE_MS);
    const oldest = this.minute.before(MINUTE_MS) ?? now;
    const rates = ratesOf(this.minute.before(RATE_MS) ?? now, now);
    const { usedBytes, totalBytes, tiers } = memory();
    const topics = {
      now: {
        atMs: Date.now(),
        version,
        upSec: Math.floor(process.uptime()),
        perSecond: rates.total,
        instances: instances(),
        usedMb: inMb(usedBytes),
        poolMb: inMb(totalBytes),
      },
      functions: {
        minuteSec: Math.round((now.atMs - oldest.atMs) / 1000),
        perSecond: rates.of,
        minute: functionRows(oldest, now),
        all: functionRows(undefined, now),
      },
      memory: Object.entries(tiers).map(([tier, bytes]) => ({ tier, mb: inMb(bytes) })),
      zygotes: zygotes?.() ?? null,
      starts: recent.coldStarts,
      errors: recent.failures,
      settings,
    };
    return new Map(Object.entries(topics).map(([name, value]) => [name, JSON.stringify(value)]));
  }
}
