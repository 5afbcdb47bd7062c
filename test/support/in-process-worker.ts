/** Test support: lambda/ and event/ over LocalProvider, on a loopback port. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import * as http from 'node:http';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import * as tar from 'tar';
import type { TriggerHost } from '../../src/event/ports';
import type { Listener } from '../../src/event/http/listeners';
import { listenTcp } from '../../src/event/http/listeners';
import type { BodyRateSettings } from '../../src/event/http/body-rate';
import { logsRoute } from '../../src/event/routes/logs-route';
import type { FunctionLogs } from '../../src/log/functions/store';
import { buildServer, type ServerDeps } from '../../src/event/server';
import { DepTraceFile } from '../../src/lambda/dep-trace';
import { ARCHIVE_LIMITS } from '../../src/lambda/code/intake/archive';
import { Intake } from '../../src/lambda/code/intake/intake';
import type { IntakeRules } from '../../src/lambda/code/intake/steps';
import { plansOver } from './plans';
import type { ManagerDeps } from '../../src/lambda/manager';
import { LambdaManager } from '../../src/lambda/manager';
import type { PackageService } from '../../src/lambda/ports';
import { servedRegistry } from '../../src/compose/served-registry';
import { openStore } from '../../src/lambda/registry/open-store';
import { Registry } from '../../src/lambda/registry/registry';
import type { LambdaSettings } from '../../src/lambda/settings';
import { StatsRegistry } from '../../src/metrics';
import { WorkerMetrics } from '../../src/metrics/prometheus';
import { LocalProvider } from './process-sandboxes';

export const LIMITS = { procs: 10, mem_mb: 50, cpu_percent: 100, swappiness: 0, runtime_sec: 30, scratch_mb: 64 };

const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined };

export interface WorkerOptions {
  /** Parent of the worker's directory; default: the system's temporary directory. */
  tmp?: string;
  /** Called for each warning. */
  onWarn?: (fields: object, message: string) => void;
  settings?: Partial<LambdaSettings>;
  packages?: PackageService;
  secrets?: NonNullable<ManagerDeps['secrets']>;
  triggers?: TriggerHost;
  zygotes?: () => unknown;
  adminToken?: string;
  /** Changes to the limits of archives. */
  rules?: Partial<IntakeRules>;
  access?: ServerDeps['access'];
  bodyRate?: BodyRateSettings;
  functionHost?: 'client' | 'root';
  serverTiming?: boolean;
  tracer?: ServerDeps['tracer'];
  readiness?: ServerDeps['readiness'];
  maxUploadBytes?: number;
  onEnded?: ManagerDeps['onEnded'];
  logs?: FunctionLogs;
}

/** Rules without limits that depend on the machine. */
const RULES: IntakeRules = {
  resolve: true,
  archive: ARCHIVE_LIMITS,
  caps: { mem_mb: 1 << 20, procs: 1024, cpu_percent: 400, runtime_sec: 900, scratch_mb: 4096 },
};

/** Examines archives, with its own threads. Call its close(). */
export function testIntake(stagingDir: string, rules: Partial<IntakeRules> = {}, timeoutSec = 30): Intake {
  return new Intake({ stagingDir, rules: { ...RULES, ...rules }, timeoutSec });
}

export interface TestWorker {
  dir: string;
  registryDir: string;
  provider: LocalProvider;
  manager: LambdaManager;
  stats: StatsRegistry;
  listener: Listener;
  url: string;
  /** Advances the worker's clock, so that caches expire. */
  advance(ms: number): void;
  /** Writes <name>.tar.gz to the registry directory, as a deployment outside the worker does. */
  deploy(name: string, files: Record<string, string>): Promise<void>;
  close(graceMs?: number): Promise<void>;
}

/** A .tar.gz with these files. */
export async function archive(files: Record<string, string>): Promise<Buffer> {
  const dir = await mkdtemp(path.join(tmpdir(), 'archive-'));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(dir, name)), { recursive: true });
    await writeFile(path.join(dir, name), text);
  }
  const chunks: Buffer[] = [];
  for await (const chunk of tar.create({ cwd: dir, gzip: true }, Object.keys(files))) chunks.push(chunk);
  await rm(dir, { recursive: true });
  return Buffer.concat(chunks);
}

export async function startWorker(options: WorkerOptions = {}): Promise<TestWorker> {
  const dir = await mkdtemp(path.join(options.tmp ?? tmpdir(), 'worker-'));
  const registryDir = path.join(dir, 'registry');
  const codeDir = path.join(dir, 'code');
  const store = await openStore(`file://${registryDir}`);
  const provider = new LocalProvider(codeDir);
  const stats = new StatsRegistry();
  const metrics = new WorkerMetrics();
  const depTrace = new DepTraceFile(path.join(dir, 'dep-trace.json'), 0, (error) => {
    throw error;
  });
  const settings: LambdaSettings = {
    codeDir,
    registryCacheMs: 5000,
    functionQueue: 1024,
    instanceQueue: 1024,
    maxInstances: 4,
    pauseAfterMs: 50,
    surplusIdleMs: 10_000,
    limits: LIMITS,
    showErrors: true,
    memPoolMb: 500,
    ...options.settings,
  };
  let skewMs = 0;
  const log = { ...LOG, ...(options.onWarn === undefined ? {} : { warn: options.onWarn }) };
  const packages = plansOver(options.packages ?? { ensureInstalled: () => Promise.resolve([]) });
  const intake = testIntake(dir, options.rules);
  const manager = await LambdaManager.create({
    provider,
    store,
    intake,
    packages,
    ...(options.secrets === undefined ? {} : { secrets: options.secrets }),
    settings,
    stats,
    depTrace,
    log,
    now: () => performance.now() + skewMs,
    onStarted: (sandbox, ms) => {
      metrics.sandboxStarted(sandbox.start, ms / 1000);
    },
    ...(options.onEnded === undefined ? {} : { onEnded: options.onEnded }),
  });
  metrics.observe({ instances: () => manager.counts, queued: () => manager.counts.queued });
  const stored = await Registry.create(store, intake, options.maxUploadBytes ?? 0);
  const unregister = (): Promise<void> => Promise.resolve();
  const registry = servedRegistry({ stored, manager, triggers: { unregister }, logs: { functions: undefined } });
  const { adminToken = '', access = {}, functionHost = 'client', triggers, zygotes } = options;
  const app = buildServer({
    ...{ invoker: manager, registry, stats, metrics, log, adminToken, access, functionHost },
    ...(triggers === undefined ? {} : { triggers }),
    ...(zygotes === undefined ? {} : { zygotes }),
    ...(options.readiness === undefined ? {} : { readiness: options.readiness }),
    ...(options.serverTiming === undefined ? {} : { serverTiming: options.serverTiming }),
    tracer: options.tracer,
    logs: options.logs && logsRoute({ logs: options.logs, registry }),
    ...(options.bodyRate === undefined ? {} : { bodyRate: options.bodyRate }),
  });
  const listener = await listenTcp(app, '127.0.0.1', 0);
  return {
    dir,
    registryDir,
    provider,
    manager,
    stats,
    listener,
    url: `http://127.0.0.1:${listener.port}`,
    advance: (ms) => {
      skewMs += ms;
    },
    deploy: async (name, files) => {
      await writeFile(path.join(registryDir, `${name}.tar.gz`), await archive(files));
    },
    close: async (graceMs = 0) => {
      const closed = listener.close(graceMs + 100);
      await manager.close(graceMs);
      await intake.close();
      await closed;
      await provider.close();
      await depTrace.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

export interface Reply {
  status: number;
  headers: http.IncomingHttpHeaders;
  rawHeaders: string[];
  body: string;
}

export interface CallOptions extends http.RequestOptions {
  body?: string | Buffer;
}

/** Sends one request on a new connection. The path is sent unchanged; redirects are not followed. */
export function call(worker: TestWorker, target: string, options: CallOptions = {}): Promise<Reply> {
  const { body, ...rest } = options;
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port: worker.listener.port, path: target, agent: false, ...rest },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const { statusCode = 0, headers, rawHeaders } = response;
          resolve({ status: statusCode, headers, rawHeaders, body: Buffer.concat(chunks).toString('utf8') });
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}
