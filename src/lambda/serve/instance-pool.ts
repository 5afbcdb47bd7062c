/** The instances of one function and the requests that wait for them. */
import { ArgyleError, asArgyleError } from '../../errors';
import type { Sandbox } from '../../sandbox/types';
import type { CodeVersion } from '../code/version';
import { BusyInstances } from './busy-instances';
import { IdleInstances } from './idle-instances';
import { ColdCauses } from './start/cold-cause';
import { ENDED_EARLY, type Instance } from './instance';
import type { Invocation } from './call/invocation';
import { KeepWarm } from './keep-warm';
import { countRetired, takeInstance } from './pick-instance';
import { instancesToRetire, instancesToStart, smooth } from './scaling';
import { bounds, runtimeSec } from '../settings';
import { Starter } from './start/starter';
import { cutOff, queueFull, shuttingDown, type PoolCounts, type PoolDeps } from './pool-parts';
import { WaitQueue, type Waiting } from './wait-queue';

/** Pause after a failed start while other instances work, in ms. */
const RETRY_START_MS = 100;
/** A start that failed with its helper is repeated while the oldest waiting request is younger than this, in ms. */
const NEW_HELPER_MS = 5000;
/** A request fails after this many dead instances in a row. */
const MAX_ATTEMPTS = 4;

export class InstancePool {
  private code: CodeVersion | undefined;
  private readonly queue = new WaitQueue();
  private readonly idle = new IdleInstances();
  private readonly busy: BusyInstances;
  /** Work that must end before close() resolves. */
  private readonly endings = new Set<Promise<unknown>>();
  private readonly starter: Starter;
  private readonly warm: KeepWarm;
  /** Number of instances that ended before their first request and whose failure is not reported yet. */
  private failedStarts = 0;
  private readonly causes = new ColdCauses();
  private serviceMs: number | undefined;
  private noStartBefore = -Infinity;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  private whenQuiet: (() => void) | undefined;

  constructor(
    private readonly name: string,
    private readonly deps: PoolDeps,
  ) {
    this.busy = new BusyInstances(deps.now);
    this.starter = new Starter(name, deps);
    this.warm = new KeepWarm(deps.now);
  }

  private get starting(): number {
    return this.starter.pending.count + this.failedStarts;
  }

  /** Minimum and maximum number of instances by ol.yaml and argyle.max_instances; 0 for no bound. */
  private get scale(): { min: number; max: number } {
    return bounds(this.deps.settings, this.code?.facts.config.scale);
  }

  /** Whether ol.yaml keeps instances for future calls (scale.min). */
  get keepsWarm(): boolean {
    return this.scale.min > 0;
  }

  get counts(): PoolCounts {
    return { queued: this.queue.length, busy: this.busy.size, ...this.idle.counts, starting: this.starting };
  }

  get sandboxes(): Sandbox[] {
    return [...this.busy, ...this.idle].map(({ sandbox }) => sandbox);
  }

  /** Whether the pool has no requests and no instances. */
  get empty(): boolean {
    return this.queue.length + this.idle.length + this.busy.size + this.starting === 0;
  }

  /** Makes new instances run this code. Old idle instances end now, old busy ones after their request. */
  setCode(code: CodeVersion | undefined): void {
    if (code === this.code) return;
    code?.retain();
    if (this.code !== undefined) this.causes.gone('code');
    this.code?.release();
    this.code = code;
    this.serviceMs = undefined;
    for (const instance of this.idle.takeAll()) this.end(instance, 'its code is out of date');
    this.warm.reset();
    this.keepWarm();
  }

  /**
   * Passes the request to an instance. Resolves when the response is complete or the client has gone away.
   * @throws ArgyleError INSTANCE_QUEUE_FULL, SHUTTING_DOWN, SANDBOX_DEAD, TIMEOUT, or the error of a failed start
   */
  submit(invocation: Invocation): Promise<void> {
    const { instanceQueue } = this.deps.settings;
    if (this.closed) return Promise.reject(shuttingDown());
    if (this.queue.length >= instanceQueue && this.idle.length === 0) {
      return Promise.reject(queueFull(this.queue.length, this.busy.size, this.serviceMs));
    }
    if (invocation.signal.aborted) return Promise.resolve();
    const answered = this.queue.add(invocation, this.deps.now());
    this.pump();
    return answered;
  }

  /** Removes dead instances, and destroys instances that have been surplus for long. */
  sweep(): void {
    this.dropDead();
    this.busy.look();
    const nowMs = this.deps.now();
    const surplus = instancesToRetire(
      this.idle.idleMs(nowMs),
      this.busy.size,
      this.deps.settings.surplusIdleMs,
      this.scale.min,
    );
    for (const instance of this.idle.takeOldest(surplus)) this.end(instance, 'no longer needed');
    this.keepWarm();
  }

  /** Starts an instance when fewer than scale.min exist. */
  private keepWarm(): void {
    const { code, deps, starting } = this;
    const { min } = this.scale;
    if (code === undefined || this.closed || min === 0) return;
    const memMb = code.facts.config.limits.mem_mb ?? deps.settings.limits.mem_mb;
    const hasRoom = (): boolean => deps.hasRoom?.(memMb) !== false && deps.gate.enter();
    if (!this.warm.look({ min, sandboxes: this.sandboxes, starting, hasRoom })) return;
    const isWanted = (): boolean => this.sandboxes.length + this.starter.pending.begun < this.scale.min;
    this.track(this.start(code, isWanted));
  }

  /** The contract's description of each instance. */
  debug(): Promise<string[]> {
    return Promise.all([...this.busy, ...this.idle].map((instance) => instance.describe()));
  }

  /** Refuses waiting requests, lets running ones end until `deadline` resolves, then destroys all instances. */
  async close(deadline: Promise<void>): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    while (this.queue.length > 0) this.queue.take()?.reject(shuttingDown());
    for (const instance of this.idle.takeAll()) this.end(instance, 'the worker is stopping');
    if (this.busy.size > 0) {
      await Promise.race([deadline, new Promise<void>((resolve) => (this.whenQuiet = resolve))]);
    }
    for (const instance of this.busy) this.end(instance, 'the worker is stopping');
    while (this.endings.size > 0) await Promise.all(this.endings);
    this.code?.release();
    this.code = undefined;
  }

  /** Gives waiting requests to idle instances, and starts instances for the others as scaling.ts decides. */
  private pump(): void {
    if (this.closed) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.dropDead();
    while (this.queue.length > 0 && this.busy.size < this.busy.most) {
      const instance = takeInstance(this.busy, this.idle, this.code);
      if (instance === undefined) break;
      const waiting = this.queue.take();
      if (waiting !== undefined) this.track(this.serve(instance, waiting));
    }
    if (this.queue.head === undefined) return;
    const { code } = this;
    if (code !== undefined && this.deps.now() >= this.noStartBefore) {
      const start = this.missing(code, this.starting);
      const isWanted = (): boolean => this.missing(code, this.starter.pending.begun) > 0;
      for (let i = 0; i < start && this.deps.gate.enter(); i++) this.track(this.start(code, isWanted));
    }
    // Try again later: the averages may be out of date, or a start may have been put off.
    this.timer = setTimeout(this.pump.bind(this), RETRY_START_MS);
  }

  /** Number of further instances to start. @param starting number of pending starts */
  private missing(code: CodeVersion, starting: number): number {
    const { head } = this.queue;
    if (head === undefined) return 0;
    const { reuseSandbox: reuse, concurrency = 1 } = code.facts.config;
    const { deps, serviceMs, starter, queue, idle } = this;
    const retired = countRetired(this.busy, concurrency);
    const have = { queued: queue.length, busy: this.busy.size - retired, idle: idle.length, starting, retired };
    const ms = { coldMs: starter.coldMs, serviceMs, oldestWaitMs: deps.now() - head.since };
    const maxInstances = Math.min(this.scale.max || Infinity, this.busy.most);
    return instancesToStart({ ...have, ...ms, maxInstances, reuse, concurrency });
  }

  /** @param isWanted whether the function needs more instances than the starts that have begun will make */
  private async start(code: CodeVersion, isWanted: () => boolean): Promise<void> {
    const busy = [...this.busy].filter((instance) => instance.code === code).length;
    const cause = this.causes.now(code.facts.config.reuseSandbox, busy + this.idle.length + this.starting);
    let made: boolean;
    try {
      const wanted = { code, cause, isWanted: () => !this.closed && code === this.code && isWanted() };
      made = await this.starter.make(wanted, this.putBack);
    } catch (thrown) {
      this.startFailed(asArgyleError('SANDBOX_CREATE', thrown));
      this.pump();
      return;
    }
    if (!made) this.deps.gate.leave();
    this.pump();
    this.keepWarm();
  }

  /** Handles a failed start. One waiting request gets the error, unless other instances can serve this request. */
  private startFailed(error: ArgyleError): void {
    this.deps.log.warn({ lambda: this.name, code: error.code, err: error }, 'could not make a sandbox');
    this.warm.failed();
    // POLICY: the helper ended before any request was sent. The next start waits for a new helper.
    const { head } = this.queue;
    if (error.code === 'HELPER_GONE' && head !== undefined && this.deps.now() - head.since < NEW_HELPER_MS) return;
    if (this.busy.size > 0 || this.idle.hasUsable) {
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
    waiting.invocation.call.sandbox = instance.sandbox.id;
    waiting.invocation.call.taken(startMs - waiting.since, instance.making(waiting.since));
    try {
      const runtimeMs = runtimeSec(settings, config.limits) * 1000;
      const result = await instance.serve(waiting.invocation, runtimeMs);
      if (result === 'done') this.serviceMs = smooth(this.serviceMs, now() - startMs);
      if (result === 'retry') this.retry(waiting);
      else waiting.resolve();
    } catch (thrown) {
      waiting.reject(this.closed ? cutOff(thrown) : asArgyleError('SANDBOX_DEAD', thrown));
    }
    if (first) this.warm.reset();
    if (first && instance.active === 1) this.deps.gate.leave();
    stats.record('LambdaInstance-ServeRequests', now() - startMs);
    if (instance.leave() === 0) {
      this.busy.delete(instance);
      this.putBack(instance);
      if (this.busy.size === 0) this.whenQuiet?.();
    }
    this.pump();
  }

  private retry(waiting: Waiting): void {
    waiting.attempts++;
    if (this.closed) waiting.reject(shuttingDown());
    else if (waiting.invocation.signal.aborted) waiting.resolve();
    else if (waiting.attempts < MAX_ATTEMPTS) this.queue.putBack(waiting);
    else waiting.reject(new ArgyleError('SANDBOX_DEAD', 'RoundTrip failed: sandboxes end before they are used'));
  }

  /** Makes the instance idle again, if it may serve another request. */
  private readonly putBack = (instance: Instance): void => {
    const used = instance.timesServed > 0 && !instance.code.facts.config.reuseSandbox;
    const fit = instance.usable || instance.failedStart;
    if (this.closed || instance.code !== this.code || used || !fit) this.end(instance, 'served its last request');
    else if (instance.timesServed > 0 && instance.sandbox.mustYield?.() === true) this.end(instance, 'gave way');
    else this.idle.add(instance);
  };

  private dropDead(): void {
    for (const instance of this.idle.takeDead()) {
      if (instance.failedStart) this.track(this.reportFailedStart(instance));
      else this.end(instance, 'found dead');
    }
  }

  /**
   * Reports a failed start to a waiting request. Otherwise the request would start sandboxes without limit, and all of
   * them would end.
   */
  private async reportFailedStart(instance: Instance): Promise<void> {
    this.failedStarts++;
    const error = await instance.failure('SANDBOX_DEAD', ENDED_EARLY);
    this.failedStarts--;
    this.startFailed(error);
    this.pump();
  }

  private end(instance: Instance, reason: string): void {
    if (instance.code === this.code) this.causes.gone(instance.departure);
    this.track(instance.destroy(reason));
  }

  private track(work: Promise<unknown>): void {
    this.endings.add(work);
    void work.finally(() => this.endings.delete(work));
  }
}
