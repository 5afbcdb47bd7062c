/** The part of a worker that serves functions. The worker and its warm-up environment each have one. */
import type { RequestListener } from 'node:http';
import type { Config } from '../config';
import { buildServer, type ServerDeps } from '../event/server';
import type { Call } from '../lambda/serve/call/call';
import { LambdaManager, type ManagerDeps } from '../lambda/manager';
import { lambdaSettings } from '../lambda/settings';
import type { StatsRegistry } from '../metrics';
import type { WorkerMetrics } from '../metrics/prometheus';
import { countCall } from './observe/metrics';

export interface FunctionsParts extends Omit<ManagerDeps, 'settings' | 'stats' | 'onStarted' | 'onEnded'> {
  config: Config;
  stats: StatsRegistry;
  metrics: WorkerMetrics;
  /** Memory that all sandboxes share, in MB. */
  memPoolMb?: number;
  /** Called at the end of each call, before the call is counted. */
  onEnded?: (name: string, call: Call) => void;
}

/** The parts of a server besides the functions. */
export type ServedParts = Omit<ServerDeps, 'invoker' | 'stats' | 'metrics' | 'functionHost' | 'serverTiming'>;

export interface Functions {
  readonly manager: LambdaManager;
  /** The HTTP application over the functions. */
  readonly serve: (parts: ServedParts) => RequestListener;
}

/** @throws ArgyleError that LambdaManager.create() throws */
export async function makeFunctions(parts: FunctionsParts): Promise<Functions> {
  const { config, metrics, memPoolMb, onEnded, ...common } = parts;
  const settings = lambdaSettings(config);
  const manager = await LambdaManager.create({
    ...common,
    settings: memPoolMb === undefined ? settings : { ...settings, memPoolMb },
    onStarted: (sandbox, ms, name) => {
      metrics.sandboxStarted(sandbox.start, ms / 1000, sandbox.tier);
      void sandbox.life.exited.then(({ oomKills }) => {
        if (oomKills > 0) metrics.oomKilled(name);
      });
    },
    onEnded: (name, call) => {
      onEnded?.(name, call);
      countCall(metrics, name, call);
    },
  });
  const { function_host: functionHost, server_timing: serverTiming } = config.argyle;
  const own = { invoker: manager, stats: common.stats, metrics, functionHost, serverTiming };
  return { manager, serve: (served) => buildServer({ ...own, ...served }) };
}
