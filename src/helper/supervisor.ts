/**
 * Keeps one helper running. When the helper ends by itself, all sandboxes die with it and callers get errors. The
 * supervisor then starts a new helper at once, and retries after failed starts. Callers of get() wait for the new
 * helper, up to a time limit.
 */
import { ArgyleError, asArgyleError } from '../errors';
import type { HelperClient } from './client';

/**
 * Back-off before the second and later starts in a row, ms. The last value repeats. It is far below 1 s, so that a
 * helper runs within 1 s after starts can succeed again.
 */
const BACKOFF_MS = [50, 100, 200, 400] as const;
/**
 * A helper that lives this long resets the back-off, ms. POLICY: such a helper has served calls, so a wait before the
 * next start would only delay further calls. Five starts per second cost little processor time.
 */
const HEALTHY_MS = 200;
/** Default of SupervisorOptions.waitMs, ms. */
const WAIT_MS = 2_000;

/** The supervisor's view of a helper. Implemented by HelperClient. */
export type Supervised = Pick<HelperClient, 'isGone' | 'onGone' | 'close'>;

export interface SupervisorOptions<Client extends Supervised> {
  /** Makes one attempt. It must settle within its own time limit. */
  start: () => Promise<Client>;
  /** Time limit of get()'s wait for a helper, ms. Default 2,000 ms. */
  waitMs?: number;
  /** Called for each helper that ended by itself, before the new one starts. */
  onGone?: (error: ArgyleError) => void;
  /** Called for each failed start. */
  onFailure?: (error: ArgyleError) => void;
  /** Called for each helper that is ready. */
  onStart?: (client: Client) => void;
}

export class HelperSupervisor<Client extends Supervised = HelperClient> {
  private client: Client | undefined;
  /** Set while a helper is being started, including the back-off before the start. */
  private starting: Promise<void> | undefined;
  private readonly waiters = new Set<(client: Client | undefined) => void>();
  private failures = 0;
  private startedMs = 0;
  private lastError: ArgyleError | undefined;
  private closed = false;
  private wake: (() => void) | undefined;

  constructor(private readonly options: SupervisorOptions<Client>) {}

  /** Whether a helper is known to be running. */
  get isRunning(): boolean {
    return this.client?.isGone === false;
  }

  /**
   * Starts the first helper with one attempt and no retries, so that a worker's start fails at once.
   *
   * @throws ArgyleError HELPER_START and the errors of `options.start`; SHUTTING_DOWN after close()
   */
  async start(): Promise<Client> {
    if (this.closed) throw shuttingDown();
    const client = await this.options.start();
    this.adopt(client);
    return client;
  }

  /**
   * Resolves with the running helper. Without one, starts it if necessary and waits.
   *
   * @throws ArgyleError HELPER_START without a helper within `waitMs`, with the last failure as the cause;
   * SHUTTING_DOWN after close()
   */
  get(): Promise<Client> {
    if (this.closed) return Promise.reject(shuttingDown());
    const { client } = this;
    if (client !== undefined && !client.isGone) return Promise.resolve(client);
    // A client that is gone reports its end soon. That report starts the next helper.
    if (client === undefined) this.launch();
    return this.wait();
  }

  /** Ends the helper and all sandboxes for good. */
  async close(): Promise<void> {
    this.closed = true;
    for (const settle of [...this.waiters]) settle(undefined);
    this.wake?.();
    await this.starting;
    await this.client?.close();
  }

  private wait(): Promise<Client> {
    return new Promise((resolve, reject) => {
      const { waitMs = WAIT_MS } = this.options;
      const settle = (client: Client | undefined): void => {
        clearTimeout(timer);
        this.waiters.delete(settle);
        if (client !== undefined) resolve(client);
        else reject(this.closed ? shuttingDown() : this.late(waitMs));
      };
      const timer = setTimeout(() => {
        settle(undefined);
      }, waitMs);
      this.waiters.add(settle);
    });
  }

  private late(waitMs: number): ArgyleError {
    const why = this.lastError === undefined ? 'it is still starting' : this.lastError.message;
    const message = `the sandbox helper did not run within ${waitMs} ms (${why}); it is started again until it runs`;
    return new ArgyleError('HELPER_START', message, { cause: this.lastError });
  }

  private launch(): void {
    this.starting ??= this.untilRunning().finally(() => {
      this.starting = undefined;
      // The new helper may have ended since the last check.
      if (!this.closed && this.client === undefined) this.launch();
    });
  }

  /** Never rejects. */
  private async untilRunning(): Promise<void> {
    while (!this.closed && this.client === undefined) {
      // POLICY: the first restart has no back-off, so that waiting callers are delayed as little as possible.
      const pauseMs = this.failures === 0 ? 0 : BACKOFF_MS[Math.min(this.failures, BACKOFF_MS.length) - 1];
      if (pauseMs !== undefined && pauseMs > 0) await this.pause(pauseMs);
      if (this.stopped()) return;
      this.failures++;
      try {
        this.adopt(await this.options.start());
      } catch (thrown) {
        this.lastError = asArgyleError('HELPER_START', thrown);
        this.options.onFailure?.(this.lastError);
      }
    }
  }

  /** A method, because TypeScript's narrowing assumes that a field does not change during an await. */
  private stopped(): boolean {
    return this.closed;
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private adopt(client: Client): void {
    this.client = client;
    this.startedMs = Date.now();
    this.lastError = undefined;
    this.options.onStart?.(client);
    // For a client that has ended already, onGone() calls the listener at once.
    client.onGone((error) => {
      this.ended(error);
    });
    if (client.isGone) return;
    for (const settle of [...this.waiters]) settle(client);
  }

  private ended(error: ArgyleError): void {
    this.client = undefined;
    this.lastError = error;
    if (Date.now() - this.startedMs >= HEALTHY_MS) this.failures = 0;
    this.options.onGone?.(error);
    if (!this.closed) this.launch();
  }
}

function shuttingDown(): ArgyleError {
  return new ArgyleError('SHUTTING_DOWN', 'the worker is stopping');
}
