/**
 * One function. A request passes the queue, the code check and the method check, and then waits for an instance. The
 * order is the original's, so a request that fails several checks gets the same answer as from the original.
 */
import { ArgyleError } from '../../errors';
import type { Sandbox } from '../../sandbox/types';
import type { Call } from './call/call';
import type { CodePuller } from '../code/puller';
import type { CodeVersion } from '../code/version';
import type { DepTrace } from '../dep-trace';
import type { InstancePool } from './instance-pool';
import type { PoolCounts } from './pool-parts';
import type { Invocation } from './call/invocation';
import { isMethodAllowed, methodMessage } from '../code/lambda-config';

export interface FunctionDeps {
  puller: CodePuller;
  pool: InstancePool;
  depTrace: DepTrace;
  /** Maximum number of requests that wait for the code. */
  functionQueue: number;
  /** Interval at which the registry is asked for a function with kept instances, in ms. */
  refreshMs: number;
  now: () => number;
}

export class LambdaFunction {
  /** Requests that wait for the code. */
  private pending = 0;
  /** Time of the last check of the code without a request, in ms. */
  private refreshedMs = -Infinity;
  /**
   * Requests that wait for their own body. They do not count for the queue, because slow senders must not fill the
   * queue.
   */
  private arriving = 0;
  /**
   * True after the function was deleted from the registry, until the worker asks the registry about the function again.
   */
  private removed = false;

  constructor(private readonly deps: FunctionDeps) {}

  /**
   * Serves one request. Resolves when the response is complete or the client has gone away.
   * @throws ArgyleError FUNCTION_QUEUE_FULL, LAMBDA_METHOD, CLIENT_GONE, and the errors of CodePuller.get() and
   *   InstancePool.submit(). The response has not begun then.
   */
  async invoke(invocation: Invocation): Promise<void> {
    const { puller, pool, depTrace } = this.deps;
    const body = invocation.body.prepare();
    // The promise is awaited below. A rejection before that must not count as unhandled.
    body?.catch(() => undefined);
    this.check(puller.freshCode() ?? (await this.queuedPull(invocation.call)), invocation);
    if (body !== undefined) {
      this.arriving++;
      const startMs = performance.now();
      try {
        await body;
      } finally {
        this.arriving--;
        invocation.call.bodyMs = performance.now() - startMs;
      }
    }
    const served = pool.submit(invocation);
    depTrace.traceInvocation(puller.name, puller.codeDir ?? '');
    await served;
  }

  get counts(): PoolCounts {
    const counts = this.deps.pool.counts;
    return { ...counts, queued: counts.queued + this.pending + this.arriving };
  }

  get sandboxes(): Sandbox[] {
    return this.deps.pool.sandboxes;
  }

  /** True when the function can be forgotten without a loss. */
  get forgettable(): boolean {
    return this.pending + this.arriving === 0 && this.deps.puller.codeDir === undefined && this.deps.pool.empty;
  }

  refresh(): void {
    this.deps.puller.expire();
  }

  /**
   * Call this when the function was deleted from the registry. Calls are served until registry_cache_ms has passed;
   * then the worker asks the registry, even without a call.
   */
  wasRemoved(): void {
    this.removed = true;
  }

  /** Whether ol.yaml keeps instances for future calls (scale.min). */
  get keepsWarm(): boolean {
    return this.deps.pool.keepsWarm;
  }

  /** Fetches the code and makes the instances of scale.min. @throws ArgyleError as CodePuller.get() */
  async prepare(): Promise<void> {
    this.pending++;
    try {
      await this.pull();
    } finally {
      this.pending--;
    }
  }

  sweep(): void {
    const { pool, puller } = this.deps;
    pool.sweep();
    // POLICY: kept instances run the current code, as of the last registry check.
    if (pool.keepsWarm && puller.isStale && this.deps.now() - this.refreshedMs > this.deps.refreshMs) {
      this.refreshedMs = this.deps.now();
      // The next call reports an error of new code.
      void this.prepare().catch(() => undefined);
    }
    if (this.removed && puller.isStale) this.look();
    // The registry no longer has the function, or a secret was removed. Idle instances end once no request waits for
    // them.
    const isServed = puller.codeDir !== undefined && !puller.isWithheld;
    if (!isServed && this.pending + this.arriving === 0 && pool.counts.queued === 0) pool.setCode(undefined);
  }

  /**
   * Asks the registry about a deleted function, which may have been uploaded again. A failed question is repeated
   * later.
   */
  private look(): void {
    this.removed = false;
    this.prepare().catch((thrown: unknown) => {
      this.removed = !(thrown instanceof ArgyleError) || thrown.code === 'REGISTRY';
    });
  }

  debug(): Promise<string[]> {
    return this.deps.pool.debug();
  }

  async close(deadline: Promise<void>): Promise<void> {
    await this.deps.pool.close(deadline);
    await this.deps.puller.close();
  }

  private async queuedPull(call: Call): Promise<CodeVersion> {
    if (this.pending >= this.deps.functionQueue) {
      throw new ArgyleError('FUNCTION_QUEUE_FULL', 'lambda function queue is full');
    }
    this.pending++;
    const startMs = performance.now();
    try {
      return await this.pull();
    } finally {
      this.pending--;
      call.codeMs = performance.now() - startMs;
    }
  }

  private async pull(): Promise<CodeVersion> {
    const { puller, pool } = this.deps;
    try {
      const code = await puller.get();
      // Set the code before the checks of the request: old instances end even when the request is refused.
      pool.setCode(code);
      return code;
    } catch (thrown) {
      if (thrown instanceof ArgyleError && thrown.code === 'LAMBDA_NOT_FOUND') puller.drop();
      throw thrown;
    }
  }

  private check(code: CodeVersion, invocation: Invocation): void {
    const { config } = code.facts;
    const { method } = invocation;
    if (!isMethodAllowed(config, method)) {
      throw new ArgyleError('LAMBDA_METHOD', methodMessage(config, method), { field: 'method', value: method });
    }
  }
}
