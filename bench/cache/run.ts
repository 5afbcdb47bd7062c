/**
 * The cache bench: installs packages, plays one trace to a live worker of each mode, and replays the trace in the
 * simulator.
 */
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { popularityBudgetMb } from '../../src/zygote/assemble';
import { parseSeed } from '../../src/zygote/learn/seed';
import type { ImportCost } from '../../src/zygote/policy/types';
import type { PackageData } from '../../src/zygote/simulate/reqbench';
import type { Trace, TraceOptions } from '../../src/zygote/simulate/trace';
import { LiveWorker, overlay } from '../subjects/live-worker';
import type { Json } from '../subjects/live-worker';
import { deployAll, traceOf, tryAll, withoutProbes, type Usable } from './functions';
import { play, type Life, type Played } from './life';
import { fitCosts, learntData, measuredModel, replay, type Replayed } from './replay';
import type { CacheSource } from './source';

const execute = promisify(execFile);

/**
 * Values of features.import_cache. `none` is the empty value. `default` is `tree` with the unfitted tree of `ol worker
 * init`.
 */
export const MODES = ['none', 'default', 'tree', 'multitree', 'popularity'] as const;
export type Mode = (typeof MODES)[number];
const IMPORT_CACHE = { none: '', default: 'tree', tree: 'tree', multitree: 'multitree', popularity: 'popularity' };
/** Share of the trace that is not counted. The static tree is fitted to this part. */
const WARMUP = 0.1;

/** Number of uncounted calls in a trace of this length. */
export const warmupOf = (calls: number): number => Math.floor(calls * WARMUP);

export interface CacheBench {
  readonly root: string;
  readonly source: CacheSource;
  readonly trace: TraceOptions;
  readonly modes: readonly Mode[];
  /** mem_pool_mb of each worker, MB. */
  readonly poolMb: number;
  /** limits.mem_mb: the charge of a running call, MB. */
  readonly callMb: number;
  /** Share of the pool that the static tree is fitted to. */
  readonly treeShare: number;
  /** Time limit for the calls of all modes, ms. */
  readonly playMs: number;
  /** Further settings of all workers. */
  readonly settings: Json;
  /** Directory of the installed packages, kept for further runs; undefined for one of this run. */
  readonly installed: string | undefined;
  readonly log: (line: string) => void;
}

export interface CacheResult {
  readonly functions: number;
  /** Number of distinct requirement sets. */
  readonly sets: number;
  readonly packages: number;
  readonly lives: ReadonlyMap<string, Life>;
  readonly simulated: ReadonlyMap<string, Replayed>;
  /** The calls at their real times, and the costs that the popularity worker learnt, to replay them again. */
  readonly trace: Trace;
  readonly costs: Readonly<Record<string, ImportCost>>;
}

/** @throws Error when no set can be used */
export async function runCacheBench(bench: CacheBench): Promise<CacheResult> {
  const shared = join(bench.root, 'out', `cache-${process.pid}`);
  await mkdir(shared, { recursive: true, mode: 0o755 });
  try {
    return await new Run(bench, shared).all();
  } finally {
    await rm(shared, { recursive: true, force: true });
  }
}

class Run {
  private readonly treeFile: string;
  private readonly traceFile: string;

  constructor(
    private readonly bench: CacheBench,
    /** Directory that all workers share. */
    private readonly shared: string,
  ) {
    this.treeFile = join(shared, 'tree.json');
    this.traceFile = join(shared, 'dep-trace.json');
  }

  async all(): Promise<CacheResult> {
    const { trace, usable } = await this.withWorkers(['none'], async ({ none }) => this.prepare(none));
    const { functions } = trace;
    const sets = new Set(functions.map(({ pins }) => pins.join(' '))).size;
    const packages = new Set(functions.flatMap(({ pins }) => pins)).size;
    const { played, data } = await this.playAll(trace, usable);
    const lived = { functions, invocations: played.invocations };
    const keys = [...new Set(functions.flatMap(({ pins }) => pins))];
    const costs = Object.fromEntries(keys.map((key) => [key, data.costOf(key)]));
    const results = this.replay(lived, played, data);
    return { functions: functions.length, sets, packages, trace: lived, costs, ...results };
  }

  /** Installs all packages, and fits the static tree to the worker's trace of the first calls. */
  private async prepare(worker: LiveWorker): Promise<{ trace: Trace; usable: Usable }> {
    const { root, source, trace: options, poolMb, treeShare, log } = this.bench;
    log(`trying ${source.data.sets.length} sets of ${source.label}`);
    const usable = await tryAll(worker, source, log);
    const trace = traceOf(usable.data, options);
    log(`${usable.data.sets.length} sets can be used; the first ${this.warmup} calls`);
    await deployAll(worker, trace, usable);
    const first = { ...trace, invocations: trace.invocations.slice(0, this.warmup) };
    await play(new Map([['none', worker]]), first, { warmup: 0, untilMs: Infinity });
    await worker.down();
    const recorded = await readFile(join(worker.home, 'worker/dep-trace.json'), 'utf8');
    await writeFile(this.traceFile, withoutProbes(recorded));
    const limits = ['--memory', String(Math.floor(poolMb * treeShare)), '-o', this.treeFile];
    const command = ['zygote', 'fit', '--trace', this.traceFile, ...source.fitArgs, ...limits];
    const { stdout } = await execute(join(root, 'bin/ol'), command);
    log(stdout.trim().split('\n').slice(-2).join('; '));
    return { trace, usable };
  }

  /** @returns the played calls, and the packages with the costs that the popularity worker learned from them */
  private playAll(trace: Trace, usable: Usable): Promise<{ played: Played; data: PackageData }> {
    const { modes, playMs, log } = this.bench;
    return this.withWorkers(modes, async (workers) => {
      await Promise.all(Object.values(workers).map((worker) => deployAll(worker, trace, usable)));
      log(`${modes.join(', ')}: ${trace.invocations.length} calls each`);
      const played = await play(new Map(Object.entries(workers)), trace, {
        warmup: this.warmup,
        untilMs: Date.now() + playMs,
      });
      const { popularity } = workers;
      if (!modes.includes('popularity')) return { played, data: usable.data };
      await popularity.down();
      const seed = parseSeed(JSON.parse(await readFile(join(popularity.home, 'popularity.json'), 'utf8')));
      return { played, data: learntData(usable.data, seed) };
    });
  }

  private replay(trace: Trace, { lives }: Played, data: PackageData): Pick<CacheResult, 'lives' | 'simulated'> {
    const { poolMb, callMb, treeShare } = this.bench;
    const memoryMb = poolMb - callMb;
    const calls = [...lives.values()].flatMap((life) => life.calls);
    const simulated = replay({
      trace,
      data: fitCosts(trace, data, lives.get('none')?.calls ?? []),
      model: measuredModel(calls, memoryMb),
      warmup: this.warmup / trace.invocations.length,
      treeShare,
      popularityShare: popularityBudgetMb(poolMb, callMb, availableParallelism()) / memoryMb,
    });
    return { lives, simulated };
  }

  private get warmup(): number {
    return warmupOf(this.bench.trace.invocations);
  }

  /** Starts a worker of each mode, calls `use`, and stops the workers. */
  private async withWorkers<M extends Mode, T>(
    modes: readonly M[],
    use: (workers: Record<M, LiveWorker>) => Promise<T>,
  ): Promise<T> {
    const workers = Object.fromEntries(modes.map((mode) => [mode, this.worker(mode)])) as Record<M, LiveWorker>;
    const all = Object.values<LiveWorker>(workers);
    try {
      await Promise.all(all.map((worker) => worker.start()));
      return await use(workers);
    } finally {
      await Promise.all(all.map((worker) => worker.stop()));
    }
  }

  private worker(mode: Mode): LiveWorker {
    const { root, source, settings, poolMb, callMb } = this.bench;
    const isTree = mode === 'tree' || mode === 'multitree';
    const own: Json = {
      Pkgs_dir: this.bench.installed ?? join(this.shared, 'packages'),
      mem_pool_mb: poolMb,
      limits: { mem_mb: callMb, procs: 64, runtime_sec: 60 },
      features: { import_cache: IMPORT_CACHE[mode] },
      ...(isTree ? { import_cache_tree: this.treeFile } : {}),
    };
    return new LiveWorker(root, overlay(overlay(source.settings, settings), own));
  }
}
