/**
 * Keeps one helper running. When it ends by itself every sandbox is dead (the helper's death takes them along), the
 * clients have their errors, and the next caller of get() starts a new one.
 */
import { ArgyleError, asArgyleError } from '../errors';
import type { HelperClient } from './client';

/** First wait before a helper that failed is started again, ms; doubles up to the maximum. */
const BACKOFF_MS = 100;
const BACKOFF_MAX_MS = 10_000;
/** A helper that lived this long resets the backoff, ms. */
const HEALTHY_MS = 30_000;

export interface SupervisorOptions {
  start: () => Promise<HelperClient>;
  /** Told of every helper that ended by itself, before a new one is started. */
  onGone?: (error: ArgyleError) => void;
  /** Told of every helper that is ready. */
  onStart?: (client: HelperClient) => void;
}

export class HelperSupervisor {
  private current: Promise<HelperClient> | undefined;
  private failures = 0;
  private startedAt = 0;
  private notBefore = 0;
  private closed = false;

  constructor(private readonly options: SupervisorOptions) {}

  /**
   * The running helper, started if need be. Concurrent callers share one start.
   *
   * @throws ArgyleError HELPER_START and what HelperClient.start() throws; SHUTTING_DOWN after close(). While the
   *   backoff runs, callers fail at once rather than wait.
   */
  get(): Promise<HelperClient> {
    if (this.closed) return Promise.reject(new ArgyleError('SHUTTING_DOWN', 'the worker is stopping'));
    this.current ??= this.launch();
    return this.current;
  }

  /** Ends the helper for good and with it every sandbox. */
  async close(): Promise<void> {
    this.closed = true;
    const client = await this.current?.catch(() => undefined);
    await client?.close();
  }

  private async launch(): Promise<HelperClient> {
    try {
      const waitMs = this.notBefore - Date.now();
      if (waitMs > 0) {
        throw new ArgyleError('HELPER_START', `the helper keeps failing; next try in ${waitMs} ms`);
      }
      const client = await this.options.start();
      this.startedAt = Date.now();
      client.onGone((error) => {
        this.ended(error);
      });
      this.options.onStart?.(client);
      return client;
    } catch (thrown) {
      this.current = undefined;
      if (this.notBefore <= Date.now()) this.backOff();
      throw asArgyleError('HELPER_START', thrown);
    }
  }

  private ended(error: ArgyleError): void {
    this.current = undefined;
    if (Date.now() - this.startedAt > HEALTHY_MS) this.failures = 0;
    // POLICY: the first death restarts at once, so that a single accident costs clients one error and no wait.
    if (this.failures++ > 0) this.backOff();
    this.options.onGone?.(error);
  }

  private backOff(): void {
    const waitMs = Math.min(BACKOFF_MS * 2 ** Math.min(this.failures, 10), BACKOFF_MAX_MS);
    this.failures++;
    this.notBefore = Date.now() + waitMs;
  }
}
