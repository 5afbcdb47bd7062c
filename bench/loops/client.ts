/** A closed-loop client over raw connections, which uses little CPU time itself. */
import { connect } from 'node:net';

const HEAD_END = Buffer.from('\r\n\r\n');

export interface Target {
  readonly port: number;
  readonly path: string;
}

/**
 * Spreads connections over the targets.
 * @returns number of answers within `ms`
 * @throws Error for an answer that is not 200
 */
export async function load(targets: readonly Target[], clients: number, ms: number): Promise<number> {
  const untilMs = performance.now() + ms;
  const one = ({ port, path }: Target): Promise<number> =>
    new Promise((resolve, reject) => {
      const body = '{"n":1}';
      const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
      const request = Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n${body}`);
      const socket = connect(port, '127.0.0.1', () => socket.write(request));
      let count = 0;
      let seen: Buffer = Buffer.alloc(0);
      socket.setNoDelay(true);
      socket.on('error', reject);
      socket.on('data', (data: Buffer) => {
        seen = seen.length === 0 ? data : Buffer.concat([seen, data]);
        const end = seen.indexOf(HEAD_END);
        if (end < 0) return;
        const text = seen.toString('latin1', 0, end);
        const length = /content-length: (\d+)/i.exec(text)?.[1];
        if (length === undefined || !text.startsWith('HTTP/1.1 200')) {
          reject(new Error(`${path} answered ${text.split('\r\n')[0] ?? ''}, without Content-Length or 200`));
          socket.destroy();
          return;
        }
        if (seen.length < end + HEAD_END.length + Number(length)) return;
        seen = Buffer.alloc(0);
        if (performance.now() < untilMs) {
          count++;
          socket.write(request);
        } else {
          socket.destroy();
          resolve(count);
        }
      });
    });
  const spread = Array.from({ length: clients }, (_, index) => targets[index % targets.length]);
  const counts = await Promise.all(spread.flatMap((target) => (target === undefined ? [] : [one(target)])));
  return counts.reduce((sum, count) => sum + count, 0);
}
