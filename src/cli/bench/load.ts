/** Puts load on a worker with several concurrent tasks. Each task sends its next request after the last response. */
import type { Pool } from 'undici';
import type { Tally } from './table';

export interface LoadOptions {
  /** `http://host:port` */
  url: string;
  /** Number of concurrent requests. */
  tasks: number;
  /** Returns the next function to call; undefined ends the load. */
  next: () => string | undefined;
  /** Called with the reason of each failed request. */
  onError: (message: string) => void;
  /** Called after each response. */
  onDone?: () => void;
}

/** The event that the original sends: JSON's null. */
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

/** Resolves with the request counts, after `next` has ended the load and all responses have arrived. Never rejects. */
export async function putLoad({ url, tasks, next, onError, onDone }: LoadOptions): Promise<Tally> {
  const tally = { successes: 0, errors: 0 };
  // The worker's timeouts apply, so the client has none.
  const undici = await import('undici');
  const pool = new undici.Pool(url, { connections: tasks, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
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
