/** All functions of the worker, by name. */
import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { ArgyleError, asArgyleError } from '../errors';
import type { Stats } from '../metrics';
import type { Sandbox, SandboxProvider } from '../sandbox/types';
import type { Call } from './serve/call/call';
import { CodeDirs } from './code/directories';
import { CodePuller } from './code/puller';
import type { DepTrace } from './dep-trace';
import { LambdaFunction } from './serve/function';
import type { PoolCounts } from './serve/pool-parts';
import { InstancePool } from './serve/instance-pool';
import type { Intake } from './code/intake/intake';
import type { Invocation } from './serve/call/invocation';
import type { LambdaConfig } from './code/lambda-config';
import { checkLambdaName } from './code/name';
import type { FunctionPackages, LambdaLog, RegistryStore } from './ports';
import { NO_SECRETS, type SecretSource } from './code/secrets';
import { settingsInForce, type LambdaSettings, type SettingsInForce } from './settings';
import { PauseTurns } from './serve/pause-turns';
import { StartGate } from './serve/start/start-gate';

/** Interval between two searches for dead and surplus instances, in ms. */
const SWEEP_MS = 1000;
/** Longest wait for the destruction of sandboxes at a stop, in ms. */
const DESTROY_MS = 10_000;
/** Simultaneous starts of instances after a death of the helper, per CPU. */
const STARTS_PER_CPU = 2;

export interface ManagerDeps {
  provider: SandboxProvider;
  store: RegistryStore;
  intake: Intake;
  packages: FunctionPackages;
  /** Default: NO_SECRETS. */
  secrets?: SecretSource;
  settings: LambdaSettings;
  stats: Stats;
  depTrace: DepTrace;
  log: LambdaLog;
  /** Directories for unpacked code. Default: `<worker_dir>/code/<n>-<name>`. */
  dirs?: CodeDirs;
  /** Called with the names of all functions with kept instances (scale.min), when these names change. */
  onKept?: (names: readonly string[]) => void;
  /** See PoolDeps. */
  hasRoom?: (mb: number) => boolean;
  /** Called for every sandbox that was made, with the time of the start, for metrics. */
  onStarted?: (sandbox: Sandbox, ms: number, name: string) => void;
  /** Called at the end of every request. `call.fault` says why a request failed. */
  onEnded?: (name: string, call: Call) => void;
  /** Time of a monotonic clock, in ms. Default: performance.now(). */
  now?: () => number;
}

export class LambdaManager {
  private readonly functions = new Map<string, LambdaFunction>();
  private readonly dirs: CodeDirs;
  private readonly sweeper: NodeJS.Timeout;
  private readonly now: () => number;
  private readonly gate: StartGate;
  private readonly pauses = new PauseTurns();
  private closing: Promise<void> | undefined;
  private draining = false;
  /** Number of accepted calls that have not ended. */
  private running = 0;
  private whenQuiet: (() => void) | undefined;
  /** The names that onKept was called with last, separated by spaces. */
  private kept = '';

  private constructor(private readonly deps: ManagerDeps) {
    this.now = deps.now ?? (() => performance.now());
    this.gate = new StartGate(STARTS_PER_CPU * availableParallelism(), this.now);
    this.dirs = deps.dirs ?? new CodeDirs(deps.settings.codeDir, deps.log, deps.intake.remove);
    this.sweeper = setInterval(() => {
      this.sweep();
    }, SWEEP_MS);
    this.sweeper.unref();
  }

  /** Makes the code directory and a manager. The caller must call close(). */
  static async create(deps: ManagerDeps): Promise<LambdaManager> {
    await mkdir(deps.settings.codeDir, { recursive: true });
    return new LambdaManager(deps);
  }

  /**
   * Lets the named function serve a request.
   * @throws ArgyleError LAMBDA_NAME, SHUTTING_DOWN, or the errors of LambdaFunction.invoke()
   */
  async invoke(name: string, invocation: Invocation): Promise<void> {
    checkLambdaName(name);
    if (this.draining || this.closing !== undefined)
      throw new ArgyleError('SHUTTING_DOWN', 'the worker is shutting down');
    const startMs = this.now();
    const lambda = this.at(name);
    this.running++;
    try {
      await lambda.invoke(invocation);
    } catch (thrown) {
      invocation.call.fault = asArgyleError('INTERNAL', thrown);
      throw thrown;
    } finally {
      this.deps.stats.record('LambdaFunc.Invoke', this.now() - startMs);
      // Names of missing functions must not use up memory.
      if (lambda.forgettable) this.forget(name, lambda);
      this.deps.onEnded?.(name, invocation.call);
      if (--this.running === 0) this.whenQuiet?.();
    }
  }

  /** Makes the next call of the function ask the registry and read the secrets. */
  refresh(name: string): void {
    this.functions.get(name)?.refresh();
  }

  /** The settings under which a function with this ol.yaml runs. */
  settingsOf(config: LambdaConfig): SettingsInForce {
    return settingsInForce(this.deps.settings, config);
  }

  /** Ends a deleted function when registry_cache_ms runs out. Its calls are served until then, as in the original. */
  wasRemoved(name: string): void {
    this.functions.get(name)?.wasRemoved();
  }

  /** Makes the instances of scale.min of a function, without a call. Never rejects: the next call reports an error. */
  async prepare(name: string): Promise<void> {
    if (this.closing !== undefined) return;
    try {
      checkLambdaName(name);
      await this.at(name).prepare();
    } catch (err) {
      this.deps.log.warn({ lambda: name, err }, 'no instances could be made ahead');
    }
    const lambda = this.functions.get(name);
    if (lambda?.forgettable === true) this.forget(name, lambda);
  }

  /** Whether any request waits or runs. */
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

  /** The sandboxes that serve functions, each with the function's name. */
  *sandboxes(): Generator<[name: string, sandbox: Sandbox]> {
    for (const [name, lambda] of this.functions) for (const sandbox of lambda.sandboxes) yield [name, sandbox];
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

  /** Refuses new requests from now on. Resolves once the accepted requests have ended, or after `ms`. */
  async drain(ms: number): Promise<void> {
    this.draining = true;
    if (this.running === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.whenQuiet = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /**
   * Refuses new requests, and answers waiting ones with SHUTTING_DOWN. Running requests have `graceMs` to end. All
   * instances are then destroyed, and their code is removed. Idempotent, never rejects.
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
        secrets = NO_SECRETS,
        settings,
        stats,
        depTrace,
        log,
        onStarted = () => undefined,
        hasRoom,
      } = this.deps;
      const { registryCacheMs, functionQueue } = settings;
      const { now, dirs, gate, pauses } = this;
      const puller = new CodePuller(name, {
        store,
        intake,
        packages,
        secrets,
        dirs,
        stats,
        depTrace,
        log,
        registryCacheMs,
        now,
      });
      const pool = new InstancePool(name, { provider, settings, stats, log, now, gate, pauses, onStarted, hasRoom });
      lambda = new LambdaFunction({ puller, pool, depTrace, functionQueue, refreshMs: registryCacheMs, now });
      this.functions.set(name, lambda);
    }
    return lambda;
  }

  private sweep(): void {
    for (const [name, lambda] of this.functions) {
      lambda.sweep();
      if (lambda.forgettable) this.forget(name, lambda);
    }
    this.reportKept();
  }

  /** Calls onKept when the set of functions with kept instances has changed. */
  private reportKept(): void {
    const kept = [...this.functions].filter(([, lambda]) => lambda.keepsWarm).map(([name]) => name);
    const text = kept.sort().join(' ');
    if (text === this.kept) return;
    this.kept = text;
    this.deps.onKept?.(kept);
  }

  private forget(name: string, lambda: LambdaFunction): void {
    if (this.functions.get(name) === lambda) this.functions.delete(name);
  }
}
