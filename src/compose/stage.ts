/** All that a call of a function passes through, once more and apart from what serves real requests; see rehearsal.ts. */
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as tar from 'tar';
import { Client, type Dispatcher } from 'undici';
import type { Config } from '../config';
import { listenTcp } from '../event/listeners';
import { buildServer } from '../event/server';
import { CodeDirs } from '../lambda/code-dirs';
import type { FunctionPackages } from '../lambda/ports';
import type { Intake } from '../lambda/intake/intake';
import { LambdaManager } from '../lambda/manager';
import { openStore } from '../lambda/registry/open-store';
import { Registry } from '../lambda/registry/registry';
import { lambdaSettings } from '../lambda/settings';
import type { RootLog } from '../log';
import { StatsRegistry } from '../metrics';
import { WorkerMetrics } from '../metrics/prometheus';
import { MemoryPool } from '../sandbox/pool';
import { assembleZygotes, type ZygoteLayer } from '../zygote/assemble';
import type { Closers } from './closers';
import { makeLeaves, toSandboxLimits, type Sandboxes } from './sandboxes';

/** What a stage holds: a zygote and its spares, a leaf at a time. MB of the worker's budget, given back at its end. */
export const STAGE_MB = 64;
/** Sandboxes of its own that may be charged their limits at the same time. */
const LEAVES = 8;
const GRACE_MS = 1000;
/** A connection serves so many calls: code that has seen one connection only is thrown away at the second. */
const CALLS_A_CONNECTION = 5;

const CODE = 'def f(event):\n    return event\n';
/** Most calls are cold starts; the last function has its instance kept. */
const FUNCTIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  cold: { 'f.py': CODE, 'ol.yaml': 'reuse-sandbox: false\n' },
  limited: { 'f.py': CODE, 'ol.yaml': 'reuse-sandbox: false\nlimits:\n  procs: 8\n  runtime_sec: 20\n' },
  warm: { 'f.py': CODE },
};

type Call = Pick<Dispatcher.RequestOptions, 'path' | 'method' | 'body'> & { headers: Readonly<Record<string, string>> };
const JSON_HEADERS = { 'content-type': 'application/json' };
const TOOL_HEADERS = { 'user-agent': 'rehearsal', accept: '*/*', 'accept-encoding': 'gzip, deflate' };
/** What clients send differs, and code that has met one kind only is thrown away at the next. */
const CALLS: readonly Call[] = [
  { path: '/run/cold', method: 'POST', headers: JSON_HEADERS, body: '{"n": 1}' },
  { path: '/run/cold', method: 'POST', headers: { ...TOOL_HEADERS, ...JSON_HEADERS }, body: '{}' },
  { path: '/run/limited', method: 'POST', headers: TOOL_HEADERS, body: '[1, 2, 3]' },
  { path: '/run/cold', method: 'POST', headers: { ...JSON_HEADERS, 'x-request-id': 'a' }, body: '"text"' },
  { path: '/run/cold/below?n=1', method: 'POST', headers: TOOL_HEADERS, body: null },
  { path: '/run/warm', method: 'POST', headers: JSON_HEADERS, body: '{"n": 1}' },
  { path: '/zygotes', method: 'GET', headers: TOOL_HEADERS },
  { path: '/run/cold', method: 'POST', headers: JSON_HEADERS, body: '{"n": 1}' },
  { path: '/status', method: 'GET', headers: {} },
];

const NO_PLAN = { pins: [], complete: true };
/** For functions without any. */
const NO_PLANS: FunctionPackages = {
  plan: () => Promise.resolve(NO_PLAN),
  planVersion: () => Promise.resolve(NO_PLAN),
  install: () => Promise.resolve({ imports: [], plan: NO_PLAN }),
  remember: () => Promise.resolve(),
};
const NO_PACKAGES = {
  resolveForZygote: () => Promise.resolve([]),
  installedVersion: () => undefined,
};
const NO_TRACE = {
  tracePackage: () => undefined,
  traceFunction: () => undefined,
  traceInvocation: () => undefined,
};

export interface StageParts {
  config: Config;
  log: RootLog;
  /** Whose helper and slot numbers it shares. */
  sandboxes: Sandboxes;
  /** Examines the stage's archives, too. */
  intake: Intake;
}

/**
 * Makes everything that a call passes through, and resolves to what makes the nth.
 * @param stop cuts a running call off
 */
export async function setStage(
  parts: StageParts,
  closers: Closers,
  stop: AbortSignal,
): Promise<(n: number) => Promise<void>> {
  const { config, intake } = parts;
  const log = parts.log.part('rehearsal');
  const dir = await mkdtemp(join(config.worker_dir, 'rehearsal-'));
  closers.add(() => rm(dir, { recursive: true, force: true }));
  const stats = new StatsRegistry();
  const metrics = new WorkerMetrics(false);
  const zygotes = makeSandboxes(parts, stats, closers);
  const store = await openStore(`file://${dir}`, {});
  closers.add(() => store.close());
  const settings = lambdaSettings(config);
  const manager = await LambdaManager.create({
    provider: zygotes.provider,
    store,
    intake,
    packages: NO_PLANS,
    settings,
    stats,
    depTrace: NO_TRACE,
    log,
    dirs: new CodeDirs(settings.codeDir, log, intake.remove, 'rehearsal-'),
    onStarted: (sandbox, ms) => {
      metrics.sandboxStarted(sandbox.start, ms / 1000);
    },
  });
  closers.add(() => manager.close(GRACE_MS));
  const registry = await Registry.create(store, intake, 0);
  // POLICY: who else on this host finds the port sees and calls what is on the stage, and can change nothing.
  const adminToken = randomUUID();
  const report = { zygotes: () => zygotes.provider.report(), functionHost: config.argyle.function_host };
  const app = buildServer({ invoker: manager, registry, stats, metrics, log, adminToken, ...report });
  const listener = await listenTcp(app, '127.0.0.1', 0);
  closers.add(() => listener.close(GRACE_MS));
  const caller = new Caller(listener.port, stop, authorized(adminToken));
  closers.add(() => caller.close());
  for (const [name, files] of Object.entries(FUNCTIONS)) {
    const body = await archive(join(dir, `${name}-code`), files);
    await caller.send({ path: `/registry/${name}`, method: 'POST', headers: {}, body });
  }
  return (n) => caller.call(n);
}

const authorized = (token: string) => ({ authorization: `Bearer ${token}` });

/** A client with changing connections. */
class Caller {
  private client: Client | undefined;

  constructor(
    private readonly port: number,
    private readonly stop: AbortSignal,
    private readonly authorization: Readonly<Record<string, string>>,
  ) {}

  /** Makes the nth call. */
  async call(n: number): Promise<void> {
    if (n % CALLS_A_CONNECTION === 0) await this.close();
    const call = CALLS[n % CALLS.length];
    if (call !== undefined) await this.send(call);
  }

  async send(call: Call): Promise<void> {
    this.client ??= new Client(`http://127.0.0.1:${this.port}`);
    // Invocations need no token, and are sent as clients send them.
    const headers = call.path.startsWith('/run/') ? call.headers : { ...call.headers, ...this.authorization };
    const { statusCode, body } = await this.client.request({ ...call, headers, signal: this.stop });
    const text = await body.text();
    if (statusCode >= 300) throw new Error(`${call.method} ${call.path}: ${statusCode} ${text}`);
  }

  async close(): Promise<void> {
    await this.client?.close();
    this.client = undefined;
  }
}

/** A .tar.gz of these files, which it writes to `dir`. */
async function archive(dir: string, files: Readonly<Record<string, string>>): Promise<Buffer> {
  await mkdir(dir);
  for (const [file, text] of Object.entries(files)) await writeFile(join(dir, file), text);
  const chunks: Buffer[] = [];
  for await (const chunk of tar.create({ gzip: true, cwd: dir }, Object.keys(files))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Slots, a pool and a root zygote beside the worker's own, on the same helper. */
function makeSandboxes({ config, sandboxes }: StageParts, stats: StatsRegistry, closers: Closers): ZygoteLayer {
  const limits = toSandboxLimits(config.limits);
  const pool = new MemoryPool({ totalMb: LEAVES * Math.max(limits.memMb, STAGE_MB), timeoutMs: GRACE_MS, stats });
  const { slots, factory } = makeLeaves(config, sandboxes, { pool, stats });
  const zygotes = assembleZygotes({
    mode: config.features.import_cache === '' ? '' : 'tree',
    tree: { packages: [], children: [] },
    slots,
    pool,
    factory,
    stats,
    packages: NO_PACKAGES,
    leafLimits: limits,
    installerLimits: limits,
    sparesPerZygote: config.argyle.spares_per_zygote,
    cpus: 1,
  });
  closers.add(() => slots.close());
  closers.add(() => zygotes.provider.close());
  closers.add(() => factory.close('the rehearsal is over'));
  slots.start();
  zygotes.provider.start();
  return zygotes;
}
