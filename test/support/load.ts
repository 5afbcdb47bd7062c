/** An open loop of calls. Each call starts at its scheduled time, whatever the state of earlier calls. */
import { Agent, request } from 'undici';

export interface Outcome {
  /** 0 when the connection failed. */
  status: number;
  body: string;
  ms: number;
  /** Number of the call. */
  n: number;
}

export interface LoadOptions {
  perSecond: number;
  /** Returns the nth call. */
  call: (n: number) => { url: string; body: string };
  /** Time after which a call counts as hung, ms. Default 20,000 ms. */
  hangMs?: number;
  /** Connections to the server, each with one call at a time. Further calls wait for a connection. Default 64. */
  connections?: number;
}

/** Sends calls from start() to stop(). */
export class Load {
  readonly outcomes: Outcome[] = [];
  private readonly agent: Agent;
  private readonly running = new Set<Promise<void>>();
  private timer: NodeJS.Timeout | undefined;
  private sent = 0;

  constructor(private readonly options: LoadOptions) {
    this.agent = new Agent({ connections: options.connections ?? 64, pipelining: 1 });
  }

  start(): this {
    const startMs = performance.now();
    this.timer = setInterval(() => {
      const due = ((performance.now() - startMs) / 1000) * this.options.perSecond;
      while (this.sent < due) this.send(this.sent++);
    }, 2);
    return this;
  }

  /** Stops the load. Resolves with all outcomes. */
  async stop(): Promise<Outcome[]> {
    clearInterval(this.timer);
    await Promise.all(this.running);
    await this.agent.close();
    return this.outcomes;
  }

  private send(n: number): void {
    const call = this.one(n).finally(() => this.running.delete(call));
    this.running.add(call);
  }

  private async one(n: number): Promise<void> {
    const { url, body } = this.options.call(n);
    const startMs = performance.now();
    let status = 0;
    let text: string;
    try {
      const signal = AbortSignal.timeout(this.options.hangMs ?? 20_000);
      const answer = await request(url, { method: 'POST', body, dispatcher: this.agent, signal });
      status = answer.statusCode;
      text = await answer.body.text();
    } catch (error) {
      if (error instanceof Error && error.name === 'TimeoutError') text = 'hangs';
      else text = error instanceof Error ? error.message : String(error);
    }
    this.outcomes.push({ status, body: text, ms: performance.now() - startMs, n });
  }
}

/** A quantile of the values; NaN without values. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

/** The durations of calls, in ms. */
export const times = (outcomes: readonly Outcome[]): number[] => outcomes.map(({ ms }) => ms);

/** The calls without the answer 200. */
export const failures = (outcomes: readonly Outcome[]): Outcome[] => outcomes.filter(({ status }) => status !== 200);

/** A quantile of the durations of calls without and with a disturbance. */
export interface Comparison {
  /** The quantiles, in ms. */
  before: number;
  during: number;
  /** Both quantiles and their ratio, as text for the test's output. */
  text: string;
}

/** @param what name of the quantile in the text */
export function compare(
  what: string,
  share: number,
  quiet: readonly number[],
  disturbed: readonly number[],
): Comparison {
  const [before, during] = [quantile(quiet, share), quantile(disturbed, share)];
  const ratio = (during / before).toFixed(2);
  return { before, during, text: `${what} ${before.toFixed(1)}, ${during.toFixed(1)} ms (ratio ${ratio})` };
}
