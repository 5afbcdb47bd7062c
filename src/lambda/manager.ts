/** All functions of the worker. */
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { ArgyleError } from '../errors';
import type { Stats } from '../metrics';
import type { Sandbox, SandboxProvider } from '../sandbox/types';
import { CodeDirs } from './code-dirs';
import { CodePuller } from './code-puller';
import type { DepTrace } from './dep-trace';
import { LambdaFunction } from './function';
import type { PoolCounts } from './instance-pool';
import { InstancePool } from './instance-pool';
import type { Intake } from './intake/intake';
import type { Invocation } from './invocation';
import { checkLambdaName } from './name';
import type { FunctionPackages, LambdaLog, RegistryStore } from './ports';
import type { LambdaSettings } from './settings';
import { StartGate } from './start-gate';

/** How often dead and surplus instances are looked for. */
const SWEEP_MS = 1000;
/** Destroying sandboxes must not hold up a stop for longer than this. */
const DESTROY_MS = 10_000;
/** Instances that start at once after a death of the helper, for each CPU. */
const STARTS_PER_CPU = 2;

export interface ManagerDeps {
  provider: SandboxProvider;
  store: RegistryStore;
  intake: Intake;
  packages: FunctionPackages;
  settings: LambdaSettings;
  stats: Stats;
  depTrace: DepTrace;
  log: LambdaLog;
  /** Where code is unpacked to, if not to `<worker_dir>/code/<n>-<name>`. */
  dirs?: CodeDirs;
  /** Told of every sandbox made and what it took, for metrics. */
  onStarted?: (sandbox: Sandbox, ms: number) => void;
  /** Told of the end of every request, whoever made it and however it ended. */
  onEnded?: () => void;
  /** Milliseconds of a clock that never goes back; performance.now() by default. */
  now?: () => number;
}

export class LambdaManager {
  private readonly functions = new Map<string, LambdaFunction>();
  private readonly dirs: CodeDirs;
  private readonly sweeper: NodeJS.Timeout;
  private readonly now: () => number;
  private readonly gate: StartGate;
  private closing: Promise<void> | undefined;

  private constructor(private readonly deps: ManagerDeps) {
    this.now = deps.now ?? (() => performance.now());
    this.gate = new StartGate(STARTS_PER_CPU * availableParallelism(), this.now);
    this.dirs = deps.dirs ?? new CodeDirs(deps.settings.codeDir, deps.log, deps.intake.remove);
    this.sweeper = setInterval(() => {
      this.sweep();
    }, SWEEP_MS);
    this.sweeper.unref();
  }

  /** Makes the code directory and a manager; close() must be called. */
  static async create(deps: ManagerDeps): Promise<LambdaManager> {
    await mkdir(deps.settings.codeDir, { recursive: true });
    return new LambdaManager(deps);
  }

  /**
   * Has the named function serve a request.
   * @throws ArgyleError LAMBDA_NAME, SHUTTING_DOWN, or what LambdaFunction.invoke() throws
   */
  async invoke(name: string, invocation: Invocation): Promise<void> {
    checkLambdaName(name);
    if (this.closing !== undefined) throw new ArgyleError('SHUTTING_DOWN', 'the worker is shutting down');
    const startMs = this.now();
    const lambda = this.at(name);
    try {
      await lambda.invoke(invocation);
    } finally {
      this.deps.stats.record('LambdaFunc.Invoke', this.now() - startMs);
      // Names that don't exist must not pile up.
      if (lambda.forgettable) this.forget(name, lambda);
      this.deps.onEnded?.();
    }
  }

  /** Whether requests wait or are being served. */
  get isBusy(): boolean {
    const { queued, starting, busy } = this.counts;
    return queued + starting + busy > 0;
  }

  /** Sums over all functions. */
  get counts(): PoolCounts {
    const sum = { queued: 0, busy: 0, idle: 0, paused: 0, starting: 0 };
    for (const lambda of this.functions.values()) {
      const counts = lambda.counts;
      for (const key of Object.keys(sum) as (keyof PoolCounts)[]) sum[key] += counts[key];
    }
    return sum;
  }

  /** Number of functions that the worker remembers. */
  get size(): number {
    return this.functions.size;
  }

  /** The contract's description of every instance. */
  async debug(): Promise<string[]> {
    const texts = await Promise.all([...this.functions.values()].map((lambda) => lambda.debug()));
    return texts.flat();
  }

  /**
   * Refuses new requests, answers waiting ones with SHUTTING_DOWN, gives running ones `graceMs` to end, then destroys
   * all instances and removes their code. Idempotent, never rejects.
   */
  close(graceMs: number): Promise<void> {
    this.closing ??= this.closeAll(graceMs);
    return this.closing;
  }

  private async closeAll(graceMs: number): Promise<void> {
    clearInterval(this.sweeper);
    const timers: NodeJS.Timeout[] = [];
    const after = (ms: number): Promise<void> =>
      new Promise((resolve) => {
        timers.push(setTimeout(resolve, ms));
      });
    const grace = after(graceMs);
    const ended = Promise.all([...this.functions.values()].map((lambda) => lambda.close(grace))).then(() =>
      this.dirs.settled(),
    );
    await Promise.race([ended, after(graceMs + DESTROY_MS)]);
    timers.forEach(clearTimeout);
    this.functions.clear();
  }

  private at(name: string): LambdaFunction {
    let lambda = this.functions.get(name);
    if (lambda === undefined) {
      const {
        provider,
        store,
        intake,
        packages,
        settings,
        stats,
        depTrace,
        log,
        onStarted = () => undefined,
      } = this.deps;
      const { registryCacheMs, functionQueue } = settings;
      const { now, dirs, gate } = this;
      const puller = new CodePuller(name, {
        store,
        intake,
        packages,
        dirs,
        stats,
        depTrace,
        log,
        registryCacheMs,
        now,
      });
      const pool = new InstancePool(name, { provider, settings, stats, log, now, gate, onStarted });
      lambda = new LambdaFunction({ puller, pool, depTrace, functionQueue });
      this.functions.set(name, lambda);
    }
    return lambda;
  }

  private sweep(): void {
    for (const [name, lambda] of this.functions) {
      lambda.sweep();
      if (lambda.forgettable) this.forget(name, lambda);
    }
  }

  private forget(name: string, lambda: LambdaFunction): void {
    if (this.functions.get(name) === lambda) this.functions.delete(name);
  }
}
