/** Plays hostile answers through a worker, as the client that asked for them, and judges what comes out. */
import * as http from 'node:http';
import type { HostileAnswer } from './grammar';

/** What may be said of a function that breaks the protocol. */
const ERRORS = ['GUEST_PROTOCOL', 'SANDBOX_DEAD', 'TIMEOUT'];

export interface Played {
  /** `cut`: the connection ended in the middle of the body. */
  end: 'whole' | 'cut' | 'invalid';
  status: number;
  /** X-Argyle-Error. */
  error: string | undefined;
  caseHeader: string | undefined;
  body: string;
  why: string;
}

export class Attacker {
  private readonly agent = new http.Agent({ keepAlive: true });

  constructor(
    private readonly url: string,
    private readonly lambda: string,
  ) {}

  /** Never rejects. Connections to the worker are kept, so that an answer which upsets the next one is seen. */
  play(number: number, { bytes, cuts, then, method }: HostileAnswer): Promise<Played> {
    const body = JSON.stringify({ case: number, hex: bytes.toString('hex'), cuts, then });
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    return new Promise((resolve) => {
      const fail = (error: Error): void => {
        const code = (error as NodeJS.ErrnoException).code ?? '';
        resolve({
          end: 'invalid',
          status: 0,
          error: undefined,
          caseHeader: undefined,
          body: '',
          why: `${code} ${error.message}`,
        });
      };
      const request = http.request(
        `${this.url}/run/${this.lambda}`,
        { method, headers, agent: this.agent },
        (response) => {
          const chunks: Buffer[] = [];
          const { statusCode: status = 0, headers: got } = response;
          const common = { status, error: got['x-argyle-error'] as string, caseHeader: got['x-case'] as string };
          const text = (): string => Buffer.concat(chunks).toString('latin1');
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', (error: NodeJS.ErrnoException) => {
            const end = error.code === 'ECONNRESET' ? 'cut' : 'invalid';
            resolve({ ...common, end, body: text(), why: `${error.code ?? ''} ${error.message}` });
          });
          response.on('end', () => {
            resolve({ ...common, end: 'whole', body: text(), why: '' });
          });
        },
      );
      request.on('error', fail);
      request.end(body);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

/**
 * What is wrong with the outcome of one answer; undefined when it is as it must be.
 * @param clean its guest cannot have upset it with the answer before
 */
export function judge(number: number, answer: HostileAnswer, played: Played, clean: boolean): string | undefined {
  const { end, status, error, caseHeader, body, why } = played;
  if (end === 'invalid') return `no valid response: ${why}`;
  const mine = String(number).padStart(8, '0');
  if (caseHeader !== undefined && answer.bytes.includes(`X-Case: ${mine}`) && caseHeader !== mine) {
    return `the response of case ${caseHeader}`;
  }
  if (clean && (answer.honest !== undefined || answer.trailing)) {
    const wanted = answer.honest;
    if (end !== 'whole' || error !== undefined)
      return `an honest answer failed: ${status} ${error ?? ''} ${why} ${body.slice(0, 200)}`;
    if (wanted !== undefined && (status !== wanted.status || body !== wanted.body))
      return `an honest answer became ${status} ${body}`;
  }
  if (error === undefined) return status >= 200 && status <= 999 ? undefined : `status ${status}`;
  if (status !== 502 || !ERRORS.includes(error)) return `${status} ${error}: ${body.slice(0, 200)}`;
  return answer.method === 'HEAD' || body.startsWith('RoundTrip failed: ')
    ? undefined
    : `502 without a reason: ${body}`;
}
