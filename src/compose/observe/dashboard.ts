/** The sources of the dashboard's numbers. */
import { totalmem } from 'node:os';
import type { Config } from '../../config';
import { ownVersion } from '../../config/own-version';
import { shownConfig } from '../../config/shown';
import { dashboardRoute, type DashboardRoute } from '../../event/dashboard/route';
import type { DashboardSources } from '../../event/dashboard/snapshot';
import type { EventLog } from '../../event/ports';
import type { WorkerMetrics } from '../../metrics/prometheus';

const MB = 2 ** 20;

export function makeDashboard(
  config: Config,
  metrics: WorkerMetrics,
  live: Pick<DashboardSources, 'instances' | 'memory' | 'zygotes'>,
  log: EventLog,
): DashboardRoute {
  const settings = shownConfig(config, totalmem() / MB);
  const { recent } = metrics;
  return dashboardRoute({ ...live, version: ownVersion(), settings, recent, readings: () => metrics.readings() }, log);
}
