/** Puts load on a worker: a number of tasks, each sending its next request when the last one was answered. */
import { Pool } from 'undici';
import type { Tally } from './table';

export interface LoadOptions {
  /** `http://host:port` */
  url: string;
  /** Requests at the same time. */
  tasks: number;
  /** The function to call next; undefined ends the load. */
  next: () => string | undefined;
  /** Hears why a request failed. */
  onError: (message: string) => void;
  /** Hears of each answered request. */
  onDone?: () => void;
}

/** What the original sends: JSON's null. */
const EVENT = 'null';
const HEADERS = { 'content-type': 'text/json' };

async function call(pool: Pool, name: string): Promise<void> {
  const { statusCode, body } = await pool.request({
    path: `/run/${name}`,
    method: 'POST',
    headers: HEADERS,
    body: EVENT,
  });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`${name} answered ${statusCode}: ${text.trim()}`);
}

/** Resolves with the count of requests once `next` has ended the load and all were answered. Never rejects. */
export async function putLoad({ url, tasks, next, onError, onDone }: LoadOptions): Promise<Tally> {
  const tally = { successes: 0, errors: 0 };
  // A sandbox may take as long as its own limits allow: the worker's timeouts count, not the client's.
  const pool = new Pool(url, { connections: tasks, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
  const task = async (): Promise<void> => {
    for (let name = next(); name !== undefined; name = next()) {
      try {
        await call(pool, name);
        tally.successes++;
      } catch (thrown) {
        tally.errors++;
        onError(thrown instanceof Error ? thrown.message : String(thrown));
      }
      onDone?.();
    }
  };
  await Promise.all(Array.from({ length: tasks }, task));
  await pool.close();
  return tally;
}
