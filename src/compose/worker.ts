/** Puts a whole worker together and takes it apart again in the right order. */
import { writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { RunningWorker } from '../cli/services';
import type { Config } from '../config';
import { ownRuntime, runtimeNames } from '../config/bases';
import { Registrations } from '../event/kafka/registrations';
import { kafkaSettings, KafkaTriggers } from '../event/kafka/triggers';
import { listenPidSocket, listenTcp, type Listener } from '../event/listeners';
import type { FunctionRegistry, TriggerHost } from '../event/ports';
import { Readiness } from '../event/readiness';
import { buildServer, type ServerDeps } from '../event/server';
import { buildSockServer } from '../event/sock-mode';
import { checkCodeStorage } from '../lambda/code-storage';
import { DepTraceFile } from '../lambda/dep-trace';
import { LambdaManager } from '../lambda/manager';
import { openStore } from '../lambda/registry/open-store';
import { Registry } from '../lambda/registry/registry';
import { BUCKET_STORES } from '../lambda/registry/stores';
import { lambdaSettings } from '../lambda/settings';
import type { RootLog } from '../log';
import { StatsRegistry } from '../metrics';
import { WorkerMetrics } from '../metrics/prometheus';
import type { ZygoteReport } from '../zygote/types';
import { Closers } from './closers';
import { IdleCollector } from './idle-collector';
import { removeContainers, startDockerSandboxes } from './docker';
import { startRehearsal } from './rehearsal';
import type { Eagerness } from './runtime';
import { makeBases } from './bases';
import { cleanupLeftovers as removeCgroups } from './leftovers';
import { type Sandboxes, startSandboxes } from './sandboxes';
import { makeIntake } from './intake';
import { readyChecks } from './readiness';
import { sockSandboxes } from './sock';

/** Running requests have this long to end once the worker is told to stop, in ms. */
const GRACE_MS = 10_000;
/** The last answers have this long to reach their clients; connections that are kept alive end as they get idle. */
const FLUSH_MS = 1000;
const IDLE_EVERY_MS = 20;
const MB = 2 ** 20;

/** Refuses new connections; those that are open are cut only after their requests were answered, if with an error. */
async function closeListener(tcp: Listener, manager?: LambdaManager): Promise<void> {
  const closed = tcp.close(GRACE_MS + FLUSH_MS);
  await manager?.close(GRACE_MS);
  const idle = setInterval(() => {
    tcp.server.closeIdleConnections();
  }, IDLE_EVERY_MS);
  await closed;
  clearInterval(idle);
}

/** Who may send requests, and how. */
function accessOf({ argyle, worker_url: url }: Config): Pick<ServerDeps, 'adminToken' | 'access' | 'bodyRate'> {
  return {
    bodyRate: {
      windowSec: argyle.body_window_sec,
      windowKb: argyle.body_window_kb,
      openBodies: argyle.open_bodies,
    },
    adminToken: argyle.admin_token,
    access: {
      metricsToken: argyle.metrics_token,
      allowedHosts: argyle.allowed_hosts,
      allowedOrigins: argyle.allowed_origins,
      ownNames: [url, hostname()],
    },
  };
}

async function assemble(
  config: Config,
  log: RootLog,
  closers: Closers,
  eagerness: Eagerness,
): Promise<Pick<RunningWorker, 'port' | 'failed'>> {
  const stats = new StatsRegistry();
  const metrics = new WorkerMetrics();
  const [tracePath, maxTrace] = [join(config.worker_dir, 'dep-trace.json'), config.argyle.dep_trace_max_mb * MB];
  const depTrace = new DepTraceFile(tracePath, maxTrace, (err) => {
    log.logger.warn({ err }, 'dep-trace.json can no longer be written');
  });
  closers.add(() => depTrace.close());
  closers.add(() => {
    writeFileSync(join(config.worker_dir, 'stats.json'), stats.text());
  });
  const parts = { stats, depTrace };
  const own = config.sandbox === 'docker' ? undefined : await startSandboxes(config, log, parts);
  const sandboxes = own ?? (await startDockerSandboxes(config, log, parts));
  closers.add(() => sandboxes.close());
  const store = await openStore(config.registry, BUCKET_STORES);
  closers.add(() => store.close());
  const bases = own === undefined || config.server_mode === 'sock' ? undefined : makeBases(config, log, own, parts);
  if (bases !== undefined) closers.add(() => bases.close());
  // POLICY: docker and sock mode have one Python; another name is an error there, too.
  const runtimes = bases === undefined ? [ownRuntime(config)] : runtimeNames(config);
  const intake = makeIntake(config, sandboxes.pool.totalMb, runtimes);
  closers.add(() => intake.close());
  const plans = bases ?? sandboxes.plans;
  const lambdaLog = log.part('lambda');
  const installs = { packages: plans, when: config.argyle.install, log: lambdaLog };
  const stored = await Registry.create(
    store,
    intake,
    config.argyle.max_upload_mb * MB,
    config.server_mode === 'sock' ? undefined : installs,
  );
  const http = log.part('http');
  const { pool, answers } = sandboxes;
  const readiness = new Readiness(readyChecks({ config, answers, pool, store }), http);
  const common = { stats, metrics, log: http, readiness, ...accessOf(config) };
  const memory = () => ({ usedBytes: pool.usedMb * MB, totalBytes: pool.totalMb * MB });
  if (config.server_mode === 'sock') {
    const keeper = sockSandboxes(config, log, sandboxes, intake);
    closers.add(() => keeper.close());
    metrics.observe({ instances: () => keeper.counts, queued: () => pool.waiting, memory });
    return listen(config, buildSockServer({ ...common, registry: stored, keeper }), closers, readiness);
  }
  const collector = new IdleCollector(() => manager.isBusy);
  closers.add(() => {
    collector.stop();
  });
  const manager: LambdaManager = await LambdaManager.create({
    provider: bases ?? sandboxes.provider,
    store,
    intake,
    packages: plans,
    settings: { ...lambdaSettings(config), memPoolMb: sandboxes.pool.totalMb },
    stats,
    depTrace,
    log: lambdaLog,
    onStarted: (sandbox, ms) => {
      metrics.sandboxStarted(sandbox.start, ms / 1000);
    },
    onEnded: () => {
      collector.requestEnded();
    },
  });
  closers.add(() => manager.close(GRACE_MS));
  const events = log.part('kafka');
  const kept = new Registrations(join(config.worker_dir, 'kafka.json'));
  const triggers = new KafkaTriggers({ invoker: manager, settings: kafkaSettings(config.kafka), log: events, kept });
  closers.add(() => triggers.close());
  const registry = endingTriggers(stored, triggers);
  metrics.observe({
    instances: () => manager.counts,
    queued: () => manager.counts.queued,
    memory,
    zygotes: () => sandboxes.zygotes?.groups.live().length ?? 0,
    kafka: () => {
      const running = triggers.status.filter(({ state }) => state === 'running').length;
      return { running, waiting: triggers.status.length - running };
    },
  });
  const layer = sandboxes.zygotes;
  const zygotes =
    layer === undefined ? {} : { zygotes: () => withBases(layer.provider.report(), bases?.running() ?? []) };
  const functionHost = config.argyle.function_host;
  const debug = (): Promise<string[]> => Promise.resolve(triggers.debug());
  const app = buildServer({ ...common, functionHost, invoker: manager, registry, triggers, debug, ...zygotes });
  const listening = await listen(config, app, closers, readiness, manager);
  void triggers.restore(async (name) => (await stored.config(name)) !== undefined);
  if (own !== undefined && config.argyle.rehearsal_calls > 0) {
    closers.add(startRehearsal({ config, log, sandboxes: own, intake, isBusy: () => manager.isBusy, eagerness }));
  }
  return listening;
}

/** The report with the zygotes of further bases behind the worker's own, by ids that begin with the base's name. */
function withBases(own: ZygoteReport, bases: readonly (readonly [string, Sandboxes])[]): ZygoteReport {
  let { usedMb } = own.memory;
  const more = bases.flatMap(([name, { zygotes }]) => {
    const report = zygotes.provider.report();
    usedMb += report.memory.usedMb;
    const named = (id: string) => `${name}:${id}`;
    return report.zygotes.map((node) => ({
      ...node,
      id: named(node.id),
      parent: node.parent === null ? null : named(node.parent),
    }));
  });
  return { ...own, memory: { ...own.memory, usedMb }, zygotes: [...own.zygotes, ...more] };
}

/** The registry as HTTP sees it: a deleted function's triggers end with it. */
function endingTriggers(registry: Registry, triggers: TriggerHost): FunctionRegistry {
  return {
    list: () => registry.list(),
    upload: (name, data, when) => registry.upload(name, data, when),
    installOf: (name) => registry.installOf(name),
    remove: async (name) => {
      await registry.remove(name);
      await triggers.unregister(name);
    },
    config: (name) => registry.config(name),
    checkLength: (bytes) => {
      registry.checkLength(bytes);
    },
  };
}

async function listen(
  config: Config,
  app: RequestListener,
  closers: Closers,
  readiness: Readiness,
  manager?: LambdaManager,
): Promise<Pick<RunningWorker, 'port' | 'failed'>> {
  const tcp = await listenTcp(app, config.worker_url, Number(config.worker_port));
  closers.add(() => closeListener(tcp, manager));
  // Last of all: who gets an answer here may rely on the port.
  const pid = await listenPidSocket(join(config.worker_dir, 'ol.sock'));
  closers.add(() => pid.close(0));
  closers.add(() => {
    readiness.stop();
  });
  const failed = new Promise<Error>((resolve) => tcp.server.once('error', resolve));
  return { port: tcp.port, failed };
}

/** Starts a worker; resolves once its port is bound. A failed start leaves nothing behind. */
export async function startWorker(config: Config, log: RootLog, eagerness: Eagerness): Promise<RunningWorker> {
  const closers = new Closers();
  try {
    checkCodeStorage(config.storage.code, config.worker_dir);
    const { port, failed } = await assemble(config, log, closers, eagerness);
    return { port, failed, close: () => closers.run() };
  } catch (error) {
    await closers.run().catch((err: unknown) => {
      log.logger.warn({ err }, 'cleaning up after a failed start failed, too');
    });
    throw error;
  }
}

/** Removes what a killed worker of this config left outside of its directory: processes, cgroups, containers. */
export function cleanupLeftovers(config: Config, log: RootLog): Promise<void> {
  return config.sandbox === 'docker' ? removeContainers(config) : removeCgroups(config, log);
}
