/**
 * One function: its requests pass the queue, the code check, the method check, and then wait for an instance. The
 * order is the original's, so that clients get the same answer when several things are wrong at once.
 */
import { ArgyleError } from '../errors';
import type { CodePuller } from './code-puller';
import type { CodeVersion } from './code-version';
import type { DepTrace } from './dep-trace';
import type { InstancePool, PoolCounts } from './instance-pool';
import type { Invocation } from './invocation';
import { isMethodAllowed, methodMessage } from './lambda-config';

export interface FunctionDeps {
  puller: CodePuller;
  pool: InstancePool;
  depTrace: DepTrace;
  /** Most requests that wait for the code. */
  functionQueue: number;
}

export class LambdaFunction {
  /** Requests that wait for the code. */
  private pending = 0;
  /** Requests that wait for their own body. They do not count for the queue: slow senders must not fill it. */
  private arriving = 0;

  constructor(private readonly deps: FunctionDeps) {}

  /**
   * Serves one request. Resolves when the response is complete or nobody wants it any more.
   * @throws ArgyleError FUNCTION_QUEUE_FULL, LAMBDA_METHOD, CLIENT_GONE, and what CodePuller.get() and
   *   InstancePool.submit() throw; the response has not begun then
   */
  async invoke(invocation: Invocation): Promise<void> {
    const { puller, pool, depTrace } = this.deps;
    const body = invocation.body.prepare();
    // Awaited below; a failure before that must not count as unhandled.
    body?.catch(() => undefined);
    this.check(puller.freshCode() ?? (await this.queuedPull()), invocation);
    if (body !== undefined) {
      this.arriving++;
      try {
        await body;
      } finally {
        this.arriving--;
      }
    }
    depTrace.traceInvocation(puller.name, puller.codeDir ?? '');
    await pool.submit(invocation);
  }

  get counts(): PoolCounts {
    const counts = this.deps.pool.counts;
    return { ...counts, queued: counts.queued + this.pending + this.arriving };
  }

  /** True when forgetting the function loses nothing. */
  get forgettable(): boolean {
    return this.pending + this.arriving === 0 && this.deps.puller.codeDir === undefined && this.deps.pool.empty;
  }

  sweep(): void {
    const { pool, puller } = this.deps;
    pool.sweep();
    // The registry no longer has it: its idle instances end once nobody waits for them.
    if (puller.codeDir === undefined && this.pending + this.arriving === 0 && pool.counts.queued === 0)
      pool.setCode(undefined);
  }

  debug(): Promise<string[]> {
    return this.deps.pool.debug();
  }

  async close(deadline: Promise<void>): Promise<void> {
    await this.deps.pool.close(deadline);
    this.deps.puller.drop();
  }

  private async queuedPull(): Promise<CodeVersion> {
    if (this.pending >= this.deps.functionQueue) {
      throw new ArgyleError('FUNCTION_QUEUE_FULL', 'lambda function queue is full');
    }
    this.pending++;
    try {
      return await this.pull();
    } finally {
      this.pending--;
    }
  }

  private async pull(): Promise<CodeVersion> {
    const { puller, pool } = this.deps;
    try {
      const code = await puller.get();
      // Before any check of the request: old instances end even when this request is refused.
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
