/** Constructs a whole worker, and ends its parts in the right order. */
import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Predecessor, RunningWorker } from '../cli/services';
import type { Config } from '../config';
import { ownRuntime, runtimeNames } from '../config/bases';
import { homeOf } from '../config/places';
import { Registrations } from '../event/kafka/registrations';
import { kafkaSettings, KafkaTriggers } from '../event/kafka/triggers';
import { logsRoute } from '../event/routes/logs-route';
import { Readiness } from '../event/readiness';
import type { ServerDeps } from '../event/server';
import { buildSockServer } from '../event/sock-mode';
import { checkCodeStorage } from '../lambda/code/storage';
import { DepTraceFile } from '../lambda/dep-trace';
import { KeptNames } from '../lambda/serve/kept-names';
import { openStore } from '../lambda/registry/open-store';
import { Registry } from '../lambda/registry/registry';
import { BUCKET_STORES } from '../lambda/registry/stores';
import type { RootLog } from '../log';
import type { ZygoteReport } from '../zygote/policy/types';
import { Closers } from './closers';
import { makeDashboard } from './observe/dashboard';
import { openFront, type Front } from './front';
import { makeFunctions, type Functions } from './functions';
import { IdleGc } from './warmup/idle-gc';
import { removeContainers, startDockerSandboxes } from './sandboxes/docker';
import { QuietWatch } from './warmup/quiet-watch';
import { startWarmUp } from './warmup/warm-up';
import type { InterruptBudget } from './warmup/v8';
import { makeBases } from './sandboxes/bases';
import { cleanupLeftovers as removeCgroups } from './sandboxes/leftovers';
import { type Sandboxes, startSandboxes } from './sandboxes/sandboxes';
import { makeIntake } from './intake';
import { makeLogs } from './observe/logs';
import { makeMetrics } from './observe/metrics';
import { readyChecks } from './observe/readiness';
import { makeSecrets } from './secrets';
import { sockSandboxes } from './sock';
import { servedRegistry } from './served-registry';
import { makeSockEnvironment } from './warmup/sock-environment';
import { makeEnvironment } from './warmup/environment';
import { makeTracer } from './observe/tracer';

const MB = 2 ** 20;

/** Settings of access control: tokens, allowed hosts and origins, and rates of request bodies. */
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
  budget: InterruptBudget,
  old?: Predecessor,
): Promise<Front> {
  const { stats, metrics } = makeMetrics();
  const [tracePath, maxTrace] = [join(homeOf(config), 'dep-trace.json'), config.argyle.dep_trace_max_mb * MB];
  const depTrace = new DepTraceFile(tracePath, maxTrace, (err) => {
    log.logger.warn({ err }, 'dep-trace.json can no longer be written');
  });
  closers.add(() => depTrace.close());
  closers.add(() => {
    writeFileSync(join(homeOf(config), 'stats.json'), stats.text());
  });
  const logs = makeLogs(config, log, (bytes, why) => {
    metrics.logDropped(bytes, why);
  });
  closers.add(() => logs.functions?.close());
  const parts = { stats, depTrace, printed: logs.printed, metrics };
  const own = config.sandbox === 'docker' ? undefined : await startSandboxes(config, log, parts);
  const sandboxes = own ?? (await startDockerSandboxes(config, log, parts));
  closers.add(() => sandboxes.close());
  const store = await openStore(config.registry, BUCKET_STORES);
  closers.add(() => store.close());
  const bases = own === undefined || config.server_mode === 'sock' ? undefined : makeBases(config, log, own, parts);
  if (bases !== undefined) closers.add(() => bases.close());
  // POLICY: docker and sock mode have one Python. Another name is an error in these modes.
  const runtimes = bases === undefined ? [ownRuntime(config)] : runtimeNames(config);
  const intake = makeIntake(config, sandboxes.pool.totalMb, runtimes);
  closers.add(() => intake.close());
  const plans = bases ?? sandboxes.plans;
  const lambdaLog = log.part('lambda');
  const secrets = makeSecrets(config);
  const installs = { packages: plans, secrets, when: config.argyle.install, log: lambdaLog };
  const stored = await Registry.create(
    store,
    intake,
    config.argyle.max_upload_mb * MB,
    config.server_mode === 'sock' ? undefined : installs,
  );
  const http = log.part('http');
  const { pool, answers } = sandboxes;
  const readiness = new Readiness(readyChecks({ config, answers, pool, store }), http);
  const common = { log: http, readiness, ...accessOf(config) };
  const memory = () => ({
    usedBytes: pool.usedMb * MB,
    totalBytes: pool.totalMb * MB,
    tiers: Object.fromEntries(Object.entries(pool.tierMb).map(([tier, mb]) => [tier, mb * MB])),
  });
  const warmUp = (makeIt: typeof makeEnvironment, isBusy: () => boolean): void => {
    if (own === undefined || config.argyle.warmup_calls === 0) return;
    closers.add(startWarmUp({ config, log, sandboxes: own, intake, makeEnvironment: makeIt, isBusy, budget }));
  };
  if (config.server_mode === 'sock') {
    const table = sockSandboxes(config, log, sandboxes, intake);
    closers.add(() => table.close());
    metrics.observe({ instances: () => table.counts, queued: () => pool.waiting, memory });
    const app = buildSockServer({ ...common, stats, metrics, registry: stored, sandboxes: table });
    const listening = await openFront(config, app, closers, { readiness, old });
    warmUp(makeSockEnvironment, () => table.isBusy);
    return listening;
  }
  const idleGc = new IdleGc(() => functions.manager.isBusy);
  closers.add(() => {
    idleGc.stop();
  });
  const warm = new KeptNames(join(homeOf(config), 'scale.json'), lambdaLog);
  closers.add(() => warm.settled());
  const quiet = new QuietWatch(() => functions.manager.isBusy);
  const functions: Functions = await makeFunctions({
    config,
    provider: bases ?? sandboxes.provider,
    store,
    intake,
    packages: plans,
    secrets,
    memPoolMb: sandboxes.pool.totalMb,
    stats,
    metrics,
    depTrace,
    log: lambdaLog,
    hasRoom: (mb) => pool.hasRoom(mb, true),
    onKept: (names) => void warm.save(names),
    onEnded: (name, call) => {
      quiet.ended();
      logs.callEnded(name, call);
      idleGc.requestEnded();
    },
  });
  const { manager } = functions;
  closers.add(() => manager.close(0));
  const events = log.part('kafka');
  const kept = new Registrations(join(homeOf(config), 'kafka.json'));
  const settings = kafkaSettings(config.kafka);
  const triggers = new KafkaTriggers({ invoker: manager, settings, stats, log: events, kept });
  closers.add(() => triggers.close());
  const registry = servedRegistry({ stored, triggers, manager, logs });
  metrics.observe({
    instances: () => manager.counts,
    queued: () => manager.counts.queued,
    memory,
    zygotes: () => sandboxes.zygotes?.groups.live().length ?? 0,
    counted: (name) => stats.countOf(name),
    // A Docker engine would be asked once per metrics request, and answers too slowly for that.
    ...(own === undefined ? {} : { sandboxes: () => manager.sandboxes() }),
    kafka: () => {
      const running = triggers.status.filter(({ state }) => state === 'running').length;
      return { running, waiting: triggers.status.length - running };
    },
  });
  const layer = sandboxes.zygotes;
  const zygotes =
    layer === undefined ? {} : { zygotes: () => withBases(layer.provider.report(), bases?.running() ?? []) };
  const debug = (): Promise<string[]> => Promise.resolve(triggers.debug());
  const tracer = await makeTracer(config, closers);
  const following = logs.functions && logsRoute({ logs: logs.functions, registry });
  const dashboard = makeDashboard(config, metrics, { instances: () => manager.counts, memory, ...zygotes }, http);
  const app = functions.serve({ ...common, tracer, logs: following, dashboard, registry, triggers, debug, ...zygotes });
  const listening = await openFront(config, app, closers, { readiness, manager, old, warm: own?.warm });
  closers.add(() => following?.close());
  closers.add(() => {
    dashboard.close();
  });
  for (const name of warm.load()) void manager.prepare(name);
  void triggers.restore(async (name) => (await stored.config(name)) !== undefined);
  warmUp(makeEnvironment, () => quiet.isBusy);
  return listening;
}

/** Adds the zygotes of further bases to the worker's report. The base's name is the prefix of their ids. */
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

/**
 * Starts a worker. The worker takes over from `old` if `old` is given. The result resolves once the port is bound. A
 * failed start leaves nothing behind.
 */
export async function startWorker(
  config: Config,
  log: RootLog,
  budget: InterruptBudget,
  old?: Predecessor,
): Promise<RunningWorker> {
  const closers = new Closers();
  try {
    checkCodeStorage(config.storage.code, config.worker_dir);
    const front = await assemble(config, log, closers, budget, old);
    return { ...front, close: () => closers.run() };
  } catch (error) {
    await closers.run().catch((err: unknown) => {
      log.logger.warn({ err }, 'cleaning up after a failed start failed, too');
    });
    throw error;
  }
}

/** Removes processes, cgroups and containers that a killed worker of this config left outside of its directory. */
export function cleanupLeftovers(config: Config, log: RootLog): Promise<void> {
  return config.sandbox === 'docker' ? removeContainers(config) : removeCgroups(config, log);
}
