/**
 * Keeps one helper running. When it ends by itself every sandbox is dead (the helper's death takes them along), the
 * clients have their errors, and a new helper is started at once, and again after each failed start. Callers of get()
 * wait for it, up to a bound.
 */
import { ArgyleError, asArgyleError } from '../errors';
import type { HelperClient } from './client';

/**
 * Waits before the second and further starts in a row, ms. The last one repeats. It is the longest time between the end
 * of a fault and the start that succeeds, so it must leave most of a second for that start itself.
 */
const BACKOFF_MS = [50, 100, 200, 400] as const;
/**
 * A helper that lived this long starts the sequence of waits anew, ms. POLICY: it served calls for some of that time, and
 * a wait before its successor would only add to what its death costs; five starts a second are no load.
 */
const HEALTHY_MS = 200;
/** Default of SupervisorOptions.waitMs. */
const WAIT_MS = 2_000;

/** What the supervisor needs of a helper; HelperClient is one. */
export type Supervised = Pick<HelperClient, 'isGone' | 'onGone' | 'close'>;

export interface SupervisorOptions<Client extends Supervised> {
  /** Makes one attempt. It must settle within a bound of its own. */
  start: () => Promise<Client>;
  /** Longest wait of get() for a helper, ms. Default 2,000. */
  waitMs?: number;
  /** Told of every helper that ended by itself, before a new one is started. */
  onGone?: (error: ArgyleError) => void;
  /** Told of every start that failed. */
  onFailure?: (error: ArgyleError) => void;
  /** Told of every helper that is ready. */
  onStart?: (client: Client) => void;
}

export class HelperSupervisor<Client extends Supervised = HelperClient> {
  private client: Client | undefined;
  /** Set while no helper runs and one is being started, or the wait before that runs. */
  private starting: Promise<void> | undefined;
  private readonly waiters = new Set<(client: Client | undefined) => void>();
  private failures = 0;
  private startedMs = 0;
  private lastError: ArgyleError | undefined;
  private closed = false;
  private wake: (() => void) | undefined;

  constructor(private readonly options: SupervisorOptions<Client>) {}

  /** Whether a helper runs now, as far as is known. */
  get isRunning(): boolean {
    return this.client?.isGone === false;
  }

  /**
   * Makes one attempt to start the first helper, for a worker that starts: what keeps it from starting is not waited out.
   *
   * @throws ArgyleError HELPER_START and what `options.start` throws; SHUTTING_DOWN after close().
   */
  async start(): Promise<Client> {
    if (this.closed) throw shuttingDown();
    const client = await this.options.start();
    this.adopt(client);
    return client;
  }

  /**
   * The running helper. Where there is none a start is under way, or begins, and is waited for.
   *
   * @throws ArgyleError HELPER_START when no helper ran within `waitMs`, with the last failure as its cause;
   *   SHUTTING_DOWN after close().
   */
  get(): Promise<Client> {
    if (this.closed) return Promise.reject(shuttingDown());
    const { client } = this;
    if (client !== undefined && !client.isGone) return Promise.resolve(client);
    // A client that is gone and has not said so yet says so soon, and its end starts the next one.
    if (client === undefined) this.launch();
    return this.wait();
  }

  /** Ends the helper for good and with it every sandbox. */
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
      // The new helper may have ended between the last look at it and here.
      if (!this.closed && this.client === undefined) this.launch();
    });
  }

  /** Never rejects. */
  private async untilRunning(): Promise<void> {
    while (!this.closed && this.client === undefined) {
      // POLICY: the first death restarts at once, so that a single accident costs those who call meanwhile a short wait.
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

  /** A method, because the value changes while something is awaited. */
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
    // Of a client that ended before this, it tells at once.
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
