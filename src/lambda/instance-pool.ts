/** The instances of one function and the requests that wait for them. */
import { ArgyleError, asArgyleError } from '../errors';
import type { Stats } from '../metrics';
import type { Sandbox, SandboxProvider } from '../sandbox/types';
import type { CodeVersion } from './code-version';
import { ENDED_EARLY, Instance } from './instance';
import type { Invocation } from './invocation';
import type { LambdaLog } from './ports';
import { importedAhead } from './own-imports';
import { instancesToRetire, instancesToStart, smooth } from './scaling';
import type { LambdaSettings } from './settings';
import { runtimeSec, sandboxLimits } from './settings';
import type { StartGate } from './start-gate';
import type { Waiting } from './wait-queue';
import { WaitQueue } from './wait-queue';

/** Before the first sandbox was made: about what a fresh Python takes. */
const GUESSED_COLD_MS = 30;
/** After a failed start, while other instances work: do not try again at once. */
const RETRY_START_MS = 100;
/** A request whose sandboxes end with their helpers has new ones made for this long, ms. */
const NEW_HELPER_MS = 5000;
/** A request that finds this many instances dead in a row fails. */
const MAX_ATTEMPTS = 4;

export interface PoolDeps {
  provider: SandboxProvider;
  settings: LambdaSettings;
  stats: Stats;
  log: LambdaLog;
  now: () => number;
  gate: StartGate;
  /** Told of every sandbox made, for metrics. */
  onStarted: (sandbox: Sandbox, ms: number) => void;
}

export interface PoolCounts {
  queued: number;
  busy: number;
  idle: number;
  paused: number;
  starting: number;
}

export class InstancePool {
  private code: CodeVersion | undefined;
  private readonly queue = new WaitQueue();
  /** Most recently used last: that one is the least likely to be frozen. */
  private idle: Instance[] = [];
  private readonly busy = new Set<Instance>();
  /** Everything that must end before close() resolves. */
  private readonly endings = new Set<Promise<unknown>>();
  private starting = 0;
  private serviceMs: number | undefined;
  private coldMs = GUESSED_COLD_MS;
  private noStartBefore = -Infinity;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  private whenQuiet: (() => void) | undefined;

  constructor(
    private readonly name: string,
    private readonly deps: PoolDeps,
  ) {}

  get counts(): PoolCounts {
    const paused = this.idle.filter((instance) => instance.isPaused).length;
    const idle = this.idle.length - paused;
    return { queued: this.queue.length, busy: this.busy.size, idle, paused, starting: this.starting };
  }

  /** Nothing left to do and nothing held. */
  get empty(): boolean {
    return this.queue.length + this.idle.length + this.busy.size + this.starting === 0;
  }

  /** Makes new instances run this code; old idle ones end now, busy ones after their request. */
  setCode(code: CodeVersion | undefined): void {
    if (code === this.code) return;
    code?.retain();
    this.code?.release();
    this.code = code;
    this.serviceMs = undefined;
    const old = this.idle;
    this.idle = [];
    for (const instance of old) this.end(instance, 'its code is out of date');
  }

  /**
   * Has an instance serve the request. Resolves when the response is complete or nobody wants it any more.
   * @throws ArgyleError INSTANCE_QUEUE_FULL, SHUTTING_DOWN, SANDBOX_DEAD, TIMEOUT, or what making a sandbox threw
   */
  submit(invocation: Invocation): Promise<void> {
    const { instanceQueue } = this.deps.settings;
    if (this.closed) return Promise.reject(shuttingDown());
    if (this.queue.length >= instanceQueue && this.idle.length === 0) {
      return Promise.reject(new ArgyleError('INSTANCE_QUEUE_FULL', 'lambda instance queue is full'));
    }
    if (invocation.signal.aborted) return Promise.resolve();
    const answered = this.queue.add(invocation, this.deps.now());
    this.pump();
    return answered;
  }

  /** Forgets dead instances and gives up those that nobody has needed for long. */
  sweep(): void {
    this.dropDead();
    const nowMs = this.deps.now();
    const idleMs = this.idle.map((instance) => nowMs - instance.idleSince);
    const surplus = instancesToRetire(idleMs, this.busy.size, this.deps.settings.surplusIdleMs);
    for (const instance of this.idle.splice(0, surplus)) this.end(instance, 'no longer needed');
  }

  /** The contract's description of each instance. */
  debug(): Promise<string[]> {
    return Promise.all([...this.busy, ...this.idle].map((instance) => instance.describe()));
  }

  /** Answers what waits, lets running requests end until `deadline` resolves, then destroys everything. */
  async close(deadline: Promise<void>): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    while (this.queue.length > 0) this.queue.take()?.reject(shuttingDown());
    for (const instance of this.idle.splice(0)) this.end(instance, 'the worker is stopping');
    if (this.busy.size > 0) {
      await Promise.race([deadline, new Promise<void>((resolve) => (this.whenQuiet = resolve))]);
    }
    for (const instance of this.busy) this.end(instance, 'the worker is stopping');
    while (this.endings.size > 0) await Promise.all(this.endings);
    this.code?.release();
    this.code = undefined;
  }

  /** Gives waiting requests to idle instances, and starts instances for the rest as scaling.ts says. */
  private pump(): void {
    if (this.closed) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.dropDead();
    while (this.queue.length > 0) {
      const instance = this.idle.pop();
      if (instance === undefined) break;
      const waiting = this.queue.take();
      if (waiting !== undefined) this.track(this.serve(instance, waiting));
    }
    const { head } = this.queue;
    if (head === undefined) return;
    const nowMs = this.deps.now();
    const { code } = this;
    if (code !== undefined && nowMs >= this.noStartBefore) {
      const { coldMs, serviceMs, starting } = this;
      const { maxInstances } = this.deps.settings;
      const reuse = code.facts.config.reuseSandbox;
      const common = { coldMs, serviceMs, starting, maxInstances, reuse, oldestWaitMs: nowMs - head.since };
      const start = instancesToStart({ ...common, queued: this.queue.length, busy: this.busy.size, idle: 0 });
      for (let i = 0; i < start && this.deps.gate.enter(); i++) this.track(this.start(code));
    }
    // Looks again later: the averages may be out of date, or a start was put off.
    this.timer = setTimeout(() => {
      this.pump();
    }, RETRY_START_MS);
  }

  private async start(code: CodeVersion): Promise<void> {
    const { provider, settings, stats, log, now, onStarted } = this.deps;
    const { name, codeName, runtime, entryFile, env, packages, config } = code.facts;
    const startMs = now();
    this.starting++;
    code.retain();
    let sandbox: Sandbox;
    try {
      const limits = sandboxLimits(settings, config.limits);
      sandbox = await provider.create({
        boot: {
          role: 'leaf',
          name,
          runtime,
          entry_file: entryFile,
          sys_path: code.sysPath,
          env,
          limits: { mem_mb: limits.memMb, procs: limits.procs, runtime_sec: runtimeSec(settings, config.limits) },
          ...(settings.showErrors ? {} : { hide_errors: true }),
        },
        codeName,
        limits,
        ...(config.base === undefined ? {} : { base: config.base }),
        packages: importedAhead(packages, env),
      });
    } catch (thrown) {
      this.starting--;
      code.release();
      const error = asArgyleError('SANDBOX_CREATE', thrown);
      const message = `could not create Sandbox: ${error.message}\n`;
      this.startFailed(new ArgyleError(error.code, message, { cause: error }));
      this.pump();
      return;
    }
    this.starting--;
    const ms = now() - startMs;
    this.coldMs = smooth(this.coldMs, ms);
    stats.record('LambdaInstance-WaitSandbox', ms);
    if (sandbox.start === 'fresh') stats.record('LambdaInstance-WaitSandbox-NoImportCache', ms);
    onStarted(sandbox, ms);
    void sandbox.exited.then(({ lost = false }) => {
      if (lost) this.deps.gate.lost();
    });
    const instance = new Instance(sandbox, code, { stats, log, pauseAfterMs: settings.pauseAfterMs, now });
    this.putBack(instance);
    this.pump();
  }

  /** A start that failed costs one request its answer, unless other instances will serve it anyway. */
  private startFailed(error: ArgyleError): void {
    this.deps.log.warn({ lambda: this.name, code: error.code, err: error }, 'could not make a sandbox');
    // POLICY: the helper ended while it made the sandbox, so no request was sent; the next start waits for a new helper.
    const { head } = this.queue;
    if (error.code === 'HELPER_GONE' && head !== undefined && this.deps.now() - head.since < NEW_HELPER_MS) return;
    if (this.busy.size > 0 || this.idle.some((instance) => instance.usable)) {
      this.noStartBefore = this.deps.now() + RETRY_START_MS;
    } else {
      this.queue.take()?.reject(error);
    }
  }

  private async serve(instance: Instance, waiting: Waiting): Promise<void> {
    const { stats, now, settings } = this.deps;
    const { config } = instance.code.facts;
    instance.unpark();
    this.busy.add(instance);
    const startMs = now();
    const first = instance.timesServed === 0;
    try {
      const runtimeMs = runtimeSec(settings, config.limits) * 1000;
      const result = await instance.serve(waiting.invocation, runtimeMs);
      if (result === 'done') this.serviceMs = smooth(this.serviceMs, now() - startMs);
      if (result === 'retry') this.retry(waiting);
      else waiting.resolve();
    } catch (thrown) {
      waiting.reject(asArgyleError('SANDBOX_DEAD', thrown));
    }
    if (first) this.deps.gate.leave();
    stats.record('LambdaInstance-ServeRequests', now() - startMs);
    this.busy.delete(instance);
    this.putBack(instance);
    if (this.busy.size === 0) this.whenQuiet?.();
    this.pump();
  }

  private retry(waiting: Waiting): void {
    waiting.attempts++;
    if (this.closed) waiting.reject(shuttingDown());
    else if (waiting.invocation.signal.aborted) waiting.resolve();
    else if (waiting.attempts < MAX_ATTEMPTS) this.queue.putBack(waiting);
    else waiting.reject(new ArgyleError('SANDBOX_DEAD', 'RoundTrip failed: sandboxes end before they are used'));
  }

  /** Idle again, if it may serve another request. */
  private putBack(instance: Instance): void {
    const { code } = instance;
    const used = instance.timesServed > 0 && !code.facts.config.reuseSandbox;
    const fit = instance.usable || instance.stillborn;
    if (this.closed || code !== this.code || used || !fit) this.end(instance, 'served its last request');
    else {
      this.idle.push(instance);
      instance.park();
    }
  }

  private dropDead(): void {
    if (this.idle.every((instance) => instance.usable)) return;
    const dead = this.idle.filter((instance) => !instance.usable);
    this.idle = this.idle.filter((instance) => instance.usable);
    for (const instance of dead) {
      if (instance.stillborn) this.track(this.mourn(instance));
      else this.end(instance, 'found dead');
    }
  }

  /** Without this, a function whose sandboxes end at once would be started over and over for a request that waits. */
  private async mourn(instance: Instance): Promise<void> {
    this.starting++;
    const error = await instance.failure('SANDBOX_DEAD', ENDED_EARLY);
    this.starting--;
    this.startFailed(error);
    this.pump();
  }

  private end(instance: Instance, reason: string): void {
    this.track(instance.destroy(reason));
  }

  private track(work: Promise<unknown>): void {
    this.endings.add(work);
    void work.finally(() => this.endings.delete(work));
  }
}

function shuttingDown(): ArgyleError {
  return new ArgyleError('SHUTTING_DOWN', 'the worker is shutting down');
}
