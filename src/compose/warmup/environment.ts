/**
 * The warm-up environment. The warm-up has its own server, functions, sandboxes and zygote, separate from those of real
 * requests.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as tar from 'tar';
import type { Config } from '../../config';
import { CodeDirs } from '../../lambda/code/directories';
import type { FunctionPackages } from '../../lambda/ports';
import type { Intake } from '../../lambda/code/intake/intake';
import { openStore } from '../../lambda/registry/open-store';
import { Registry } from '../../lambda/registry/registry';
import type { Log, RootLog } from '../../log';
import { StatsRegistry } from '../../metrics';
import { WorkerMetrics } from '../../metrics/prometheus';
import { MemoryPool } from '../../sandbox/memory/memory-pool';
import { assembleZygotes, type ZygoteLayer } from '../../zygote/assemble';
import type { Closers } from '../closers';
import { makeFunctions } from '../functions';
import { GRACE_MS, JSON_HEADERS, openCaller, TOOL_HEADERS, type Call } from './caller';
import { makeLeaves, toSandboxLimits, type Sandboxes } from '../sandboxes/sandboxes';

/**
 * Memory of an environment (a zygote, its spares and one leaf), in MB of the worker's pool. The memory is released when
 * the environment ends.
 */
export const ENVIRONMENT_MB = 64;
/** Number of sandboxes that fit into the environment's own pool. */
const LEAVES = 8;
/** Calls per connection. V8 discards code that was optimized for the first connection when a second one is used. */
export const CALLS_A_CONNECTION = 5;

const CODE = 'def f(event):\n    return event\n';
/** Most calls are cold starts. The last function keeps its instance. */
const FUNCTIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  cold: { 'f.py': CODE, 'ol.yaml': 'reuse-sandbox: false\n' },
  limited: { 'f.py': CODE, 'ol.yaml': 'reuse-sandbox: false\nlimits:\n  procs: 8\n  runtime_sec: 20\n' },
  warm: { 'f.py': CODE },
};

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
/** Functions without packages. */
const NO_PLANS: FunctionPackages = {
  plan: () => Promise.resolve(NO_PLAN),
  planVersion: () => Promise.resolve(NO_PLAN),
  install: () => Promise.resolve({ imports: [], plan: NO_PLAN }),
  remember: () => Promise.resolve(),
};
const NO_PACKAGES = {
  resolveForZygote: () => Promise.resolve([]),
  installedVersion: () => undefined,
  dependenciesOf: () => undefined,
};
const NO_TRACE = {
  tracePackage: () => undefined,
  traceFunction: () => undefined,
  traceInvocation: () => undefined,
};

export interface EnvironmentParts {
  config: Config;
  log: RootLog;
  /** The worker's own sandboxes. They provide the helper and the slot numbers. */
  sandboxes: Sandboxes;
  /** Examines the archives of the environment. */
  intake: Intake;
}

/**
 * Makes an environment.
 * @param stop ends a running call
 * @returns a function that makes the nth call
 */
export async function makeEnvironment(
  parts: EnvironmentParts,
  closers: Closers,
  stop: AbortSignal,
): Promise<(n: number) => Promise<void>> {
  const { config, intake } = parts;
  const { dir, log, dirs, stats, metrics, store, registry } = await environmentBase(parts, closers, stop);
  const zygotes = makeSandboxes(parts, stats, closers);
  const { manager, serve } = await makeFunctions({
    config,
    provider: zygotes.provider,
    store,
    intake,
    packages: NO_PLANS,
    stats,
    metrics,
    depTrace: NO_TRACE,
    log,
    dirs,
  });
  closers.add(() => manager.close(GRACE_MS));
  const served = { registry, log, zygotes: () => zygotes.provider.report() };
  const caller = await openCaller((adminToken) => serve({ ...served, adminToken }), closers, stop);
  for (const [name, files] of Object.entries(FUNCTIONS)) {
    const body = await archive(join(dir, `${name}-code`), files);
    await caller.send({ path: `/registry/${name}`, method: 'POST', headers: {}, body });
  }
  return async (n) => {
    if (n % CALLS_A_CONNECTION === 0) await caller.close();
    const call = CALLS[n % CALLS.length];
    if (call !== undefined) await caller.send(call);
  };
}

/** The log of an environment. It ends when `stop` is aborted: a call that is cut off then is no failure. */
export function environmentLog(log: RootLog, stop: AbortSignal): Log {
  const own = log.part('warm-up');
  const end = (): void => {
    own.level = 'silent';
  };
  if (stop.aborted) end();
  else stop.addEventListener('abort', end, { once: true });
  return own;
}

/** The parts of an environment that both server modes have. Its directory is removed with the environment. */
export async function environmentBase(
  { config, intake, log: root }: EnvironmentParts,
  closers: Closers,
  stop: AbortSignal,
) {
  const log = environmentLog(root, stop);
  const dir = await mkdtemp(join(config.worker_dir, 'warmup-'));
  closers.add(() => rm(dir, { recursive: true, force: true }));
  const store = await openStore(`file://${dir}`, {});
  closers.add(() => store.close());
  const registry = await Registry.create(store, intake, 0);
  const dirs = new CodeDirs(join(config.worker_dir, 'code'), log, intake.remove, 'warmup-');
  return { dir, log, dirs, store, registry, stats: new StatsRegistry(), metrics: new WorkerMetrics(false) };
}

/** Writes files to `dir`, and packs these files as .tar.gz. */
async function archive(dir: string, files: Readonly<Record<string, string>>): Promise<Buffer> {
  await mkdir(dir);
  for (const [file, text] of Object.entries(files)) await writeFile(join(dir, file), text);
  const chunks: Buffer[] = [];
  for await (const chunk of tar.create({ gzip: true, cwd: dir }, Object.keys(files))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Slots and a memory pool on the worker's helper. */
export function environmentLeaves({ config, sandboxes }: EnvironmentParts, stats: StatsRegistry) {
  const { memMb } = toSandboxLimits(config.limits);
  const pool = new MemoryPool({ totalMb: LEAVES * Math.max(memMb, ENVIRONMENT_MB), timeoutMs: GRACE_MS, stats });
  return { pool, ...makeLeaves(config, sandboxes, { pool, stats }) };
}

/** Slots, a memory pool and a root zygote. */
function makeSandboxes(parts: EnvironmentParts, stats: StatsRegistry, closers: Closers): ZygoteLayer {
  const { config } = parts;
  const limits = toSandboxLimits(config.limits);
  const { pool, slots, factory } = environmentLeaves(parts, stats);
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
  closers.add(() => factory.close('the warm-up is over'));
  slots.start();
  zygotes.provider.start();
  return zygotes;
}
