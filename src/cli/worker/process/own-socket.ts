/** Requests to a worker on its own unix socket, which only the worker's user can open. */
import { request } from 'node:http';
import { join } from 'node:path';

export interface SocketAnswer {
  status: number;
  body: string;
}

/** Never rejects. @returns undefined without a complete response within `timeoutMs` */
export function askSocket(
  dir: string,
  { method, path, timeoutMs }: { method: 'GET' | 'POST'; path: string; timeoutMs: number },
): Promise<SocketAnswer | undefined> {
  return new Promise((resolve) => {
    const options = { socketPath: join(dir, 'ol.sock'), method, path, timeout: timeoutMs, agent: false };
    const ask = request(options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body });
      });
      response.on('error', () => {
        resolve(undefined);
      });
    });
    ask.on('timeout', () => ask.destroy());
    ask.on('error', () => {
      resolve(undefined);
    });
    ask.end();
  });
}
