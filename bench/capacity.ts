/** Measures churn, memory per leaf, and the time of each phase of a cold start. */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LeafSpec, Sandbox } from '../src/sandbox/types';
import { Lease } from '../src/sandbox/lease';
import type { ZygoteProcess } from '../src/zygote/fleet/zygote-process';
import { firstByte, Lab, pssMb } from './lab';
import { quantile } from './stats';
import { COLD_ECHO } from './subjects/invocations';
import type { Handler } from './subjects/invocations';

/** Leaves that are in progress at the same time during churn. */
const IN_FLIGHT = 8;
const CHURN_MS = 4000;
/** Number of runs beside idle sandboxes. A run without idle sandboxes comes before and after each. */
const CHURN_TURNS = 6;
const PAUSED = 1000;
/** Largest share of sandboxes that did not start by a fork in a valid churn run. */
const MAX_ASTRAY = 0.05;
/** Leaves of one zygote in the first memory sum, and the number added for the second sum. */
const LEAVES = 10;
/** A spare has finished its warm-up (guest/fork/warm.py) and joined its cgroups after this time, ms. */
const PARKED_MS = 60;
const BREAKDOWN_ROUNDS = 60;
const WARMUP = 5;
/** A pool large enough that no limit applies. */
const SETTINGS = { mem_pool_mb: 500_000 };

export type BreakdownKind = 'fresh' | 'forked' | 'spare';

/** Median times of a cold start's phases, ms. */
export interface Breakdown {
  name: string;
  kind: BreakdownKind;
  count: number;
  /** From the request to the helper's answer that the process runs, ms. */
  startMs: number;
  /** Import of the handler, measured by the guest, ms. */
  importMs: number;
  /** Remaining time to the first byte, ms: boot frame, request and answer. */
  serveMs: number;
  /** Total time, ms. */
  totalMs: number;
}

/**
 * Sandboxes made and destroyed per second, one figure per run. `alone` has one run before and after each run of
 * `besidePaused`.
 */
export interface ChurnRuns {
  alone: number[];
  besidePaused: number[];
}

/** A figure is undefined when it could not be measured. */
export interface Capacity {
  churnPerSec: ChurnRuns | undefined;
  paused: number;
  /** PSS in MB of one more leaf of the packages' zygote: idle after a request, and parked as a spare. */
  leafPssMb: { idle: number; spare: number } | undefined;
  breakdown: Breakdown[];
}

export interface CapacityOptions {
  root: string;
  /** Further settings of the worker. */
  settings: Record<string, unknown>;
  /** The handler with the large packages. */
  handler: Handler;
  log: (line: string) => void;
}

/** The worker and the deployed handler of a measurement. */
interface Site {
  lab: Lab;
  spec: LeafSpec;
}

/**
 * Measures forks and spares in one worker, and fresh starts in another worker without zygotes.
 * @throws SkipSubject without root
 */
export async function measureCapacity({ root, settings, handler, log }: CapacityOptions): Promise<Capacity> {
  const child = { packages: [...handler.pins], children: [] };
  const lab = await Lab.start(root, {
    ...settings,
    ...SETTINGS,
    import_cache_tree: { packages: [], children: [child] },
    features: { import_cache: 'tree' },
    argyle: { spares_per_zygote: 0 },
  });
  const attempt = async <T>(what: string, part: () => Promise<T>): Promise<T | undefined> => {
    log(what);
    try {
      return await part();
    } catch (thrown) {
      log(`${what}: failed: ${String(thrown)}`);
      return undefined;
    }
  };
  let plain: Lab | undefined;
  try {
    const fresh = (plain = await Lab.start(root, { ...settings, ...SETTINGS, features: { import_cache: '' } }));
    const echo = await lab.deploy(COLD_ECHO);
    const rootZygote = await lab.zygote(echo);
    const large = await lab.deploy(handler);
    const zygote = await lab.zygote(large);
    const breakdown = await attempt('breakdown of cold starts', async () => [
      ...(await breakDown(
        'nothing to import',
        { lab: fresh, spec: await fresh.deploy(COLD_ECHO) },
        { lab, spec: echo },
        rootZygote,
      )),
      ...(await breakDown(
        'large packages',
        { lab: fresh, spec: await fresh.deploy(handler) },
        { lab, spec: large },
        zygote,
      )),
    ]);
    const leafPssMb = await attempt('memory per leaf', async () => ({
      idle: await leafPss(lab, large, zygote),
      spare: await sparePss(lab, large, zygote),
    }));
    const churnPerSec = await attempt(`churn, alone and beside ${PAUSED} paused sandboxes`, () => churns(lab, echo));
    return { churnPerSec, paused: PAUSED, leafPssMb, breakdown: breakdown ?? [] };
  } finally {
    await plain?.stop();
    await lab.stop();
  }
}

/** Alternates the two kinds of runs, since the machine's speed varies by a quarter from minute to minute. */
async function churns(lab: Lab, spec: LeafSpec): Promise<ChurnRuns> {
  await churn(lab, spec);
  const alone = [await churn(lab, spec)];
  const besidePaused: number[] = [];
  for (let turn = 0; turn < CHURN_TURNS; turn += 1) {
    const idle = await pausedSandboxes(lab, spec);
    besidePaused.push(await churn(lab, spec));
    await Promise.all(idle.map((sandbox) => sandbox.destroy('measured')));
    alone.push(await churn(lab, spec));
  }
  return { alone, besidePaused };
}

/** Makes and destroys forked sandboxes as fast as possible, several at a time. @returns sandboxes per second */
async function churn(lab: Lab, spec: LeafSpec): Promise<number> {
  const { provider } = lab.sandboxes;
  let made = 0;
  let astray = 0;
  const startMs = performance.now();
  const loop = async (): Promise<void> => {
    while (performance.now() - startMs < CHURN_MS) {
      const sandbox = await provider.create(spec);
      const { start } = sandbox;
      await sandbox.destroy('churn');
      if (start === 'fork') made += 1;
      else astray += 1;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, loop));
  if (astray > made * MAX_ASTRAY) throw new Error(`${astray} sandboxes of ${made + astray} were not made by fork`);
  return (made * 1000) / (performance.now() - startMs);
}

/** Sandboxes that have each served one request and are paused. */
async function pausedSandboxes(lab: Lab, spec: LeafSpec): Promise<Sandbox[]> {
  const idle: Sandbox[] = [];
  while (idle.length < PAUSED) {
    const sandbox = await lab.sandboxes.provider.create(spec);
    idle.push(sandbox);
    await firstByte(sandbox);
    await sandbox.pause();
  }
  return idle;
}

/** Memory in MB that one more of LEAVES equal leaves adds to the total of the zygote and all leaves. */
async function growth(zygote: ZygoteProcess, more: () => Promise<number>): Promise<number> {
  const pids = [zygote.slot.pid];
  const sum = async (): Promise<number> => {
    const each = await Promise.all(pids.map(pssMb));
    return each.reduce((total, mb) => total + mb, 0);
  };
  const grow = async (): Promise<void> => {
    for (let i = 0; i < LEAVES; i += 1) pids.push(await more());
    await sleep(PARKED_MS);
  };
  await grow();
  const before = await sum();
  await grow();
  return ((await sum()) - before) / LEAVES;
}

async function leafPss(lab: Lab, spec: LeafSpec, zygote: ZygoteProcess): Promise<number> {
  const made: Sandbox[] = [];
  try {
    return await growth(zygote, async () => {
      const sandbox = await lab.sandboxes.factory.fork(zygote.slot, spec);
      made.push(sandbox);
      await firstByte(sandbox);
      return sandbox.pid;
    });
  } finally {
    await Promise.all(made.map((sandbox) => sandbox.destroy('measured')));
  }
}

async function sparePss(lab: Lab, spec: LeafSpec, zygote: ZygoteProcess): Promise<number> {
  const made: Lease[] = [];
  try {
    return await growth(zygote, async () => {
      const lease = new Lease();
      made.push(lease);
      return (await lab.sandboxes.factory.park(zygote.slot, spec.limits, lease)).pid;
    });
  } finally {
    await Promise.all(made.map((lease) => lease.free('measured')));
  }
}

interface Parts {
  startMs: number;
  importMs: number;
  serveMs: number;
  totalMs: number;
}

/**
 * Measures fresh, forked and spare starts of one handler in turns.
 * @param plain without zygotes
 * @param forked with the given zygote
 */
async function breakDown(name: string, plain: Site, forked: Site, zygote: ZygoteProcess): Promise<Breakdown[]> {
  const kinds = ['fresh', 'forked', 'spare'] as const;
  const sites = { fresh: plain, forked, spare: forked };
  const samples: Record<BreakdownKind, Parts[]> = { fresh: [], forked: [], spare: [] };
  for (let round = -WARMUP; round < BREAKDOWN_ROUNDS; round += 1) {
    for (const kind of kinds) {
      const parts = await coldStart(sites[kind], kind, zygote);
      if (round >= 0) samples[kind].push(parts);
    }
  }
  return kinds.map((kind) => {
    const median = (of: (parts: Parts) => number): number => quantile(samples[kind].map(of), 0.5);
    return {
      name,
      kind,
      count: samples[kind].length,
      startMs: median(({ startMs }) => startMs),
      importMs: median(({ importMs }) => importMs),
      serveMs: median(({ serveMs }) => serveMs),
      totalMs: median(({ totalMs }) => totalMs),
    };
  });
}

async function coldStart({ lab, spec }: Site, kind: BreakdownKind, zygote: ZygoteProcess): Promise<Parts> {
  const { factory, pool } = lab.sandboxes;
  let importMs = 0;
  const hooks = {
    onBoot: (info: { importMs: number }): void => {
      importMs = info.importMs;
    },
  };
  const lease = new Lease(await pool.acquire(1));
  const parked = kind === 'spare' ? await factory.park(zygote.slot, spec.limits, lease) : undefined;
  await sleep(PARKED_MS);
  const fromMs = performance.now();
  let sandbox: Sandbox;
  if (kind === 'fresh') sandbox = await factory.fresh(spec, hooks, lease);
  else if (parked === undefined) sandbox = await factory.fork(zygote.slot, spec, hooks, lease);
  else sandbox = await factory.go(parked, spec, zygote.slot.pid, lease, hooks);
  const startMs = performance.now() - fromMs;
  try {
    const totalMs = (await firstByte(sandbox)) - fromMs;
    return { startMs, importMs, serveMs: totalMs - startMs - importMs, totalMs };
  } finally {
    await sandbox.destroy('measured');
  }
}
