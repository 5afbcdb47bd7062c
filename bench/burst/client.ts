/** Sends many concurrent calls to a worker, and a steady background load from a separate thread. */
import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Agent, request } from 'undici';

/** One call of the steady load. */
export interface QuietCall {
  /** Latency at the client, ms. */
  readonly ms: number;
  /** Times of the worker's Server-Timing, ms. */
  readonly phases: Readonly<Record<string, number>>;
}

export interface Burst {
  /** Time from the first request to the last answer, ms. */
  allMs: number;
  /** Latency of each call, ms. */
  ms: number[];
}

/** Calls each function once, all at the same time. @throws Error for an answer that is not 200 */
export async function callAtOnce(url: string, functions: readonly string[]): Promise<Burst> {
  const agent = new Agent({ connections: functions.length, pipelining: 1 });
  try {
    // Connections are opened first, since the bench measures functions and not sockets.
    await Promise.all(
      functions.map(() => request(`${url}/status`, { dispatcher: agent }).then(({ body }) => body.text())),
    );
    const startMs = performance.now();
    const ms = await Promise.all(
      functions.map(async (name) => {
        const answer = await request(`${url}/run/${name}`, { method: 'POST', body: '{}', dispatcher: agent });
        const text = await answer.body.text();
        if (answer.statusCode !== 200) throw new Error(`${name}: ${answer.statusCode} ${text}`);
        return performance.now() - startMs;
      }),
    );
    return { allMs: performance.now() - startMs, ms };
  } finally {
    await agent.close();
  }
}

/** Calls one function at a steady rate from another thread, so that the burst's client does not delay these calls. */
export class Trickle {
  private readonly worker: Worker;

  constructor(url: string, name: string, perSecond: number) {
    this.worker = new Worker(join(__dirname, 'trickle.js'), { workerData: { url, name, perSecond } });
  }

  /** The calls since the last take(), including those in progress. */
  async take(): Promise<QuietCall[]> {
    const answer = once(this.worker, 'message');
    this.worker.postMessage('take');
    const [taken] = (await answer) as [QuietCall[]];
    return taken;
  }

  async stop(): Promise<void> {
    await this.worker.terminate();
  }
}
