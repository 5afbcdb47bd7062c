/** Plays hostile answers through a worker, as the client of these calls, and judges the results. */
import * as http from 'node:http';
import type { HostileAnswer } from './grammar';

/** Allowed error codes for a function that violates the protocol. */
const ERRORS = ['GUEST_PROTOCOL', 'SANDBOX_DEAD', 'TIMEOUT'];

export interface Played {
  /** `cut`: the connection ended within the body. */
  end: 'whole' | 'cut' | 'invalid';
  status: number;
  /** Value of X-Argyle-Error. */
  error: string | undefined;
  caseHeader: string | undefined;
  body: string;
  why: string;
}

/** Request id of a case. It identifies the case in the worker's log. */
export const requestId = (number: number): string => `case-${number}`;

export class Attacker {
  private readonly agent = new http.Agent({ keepAlive: true });

  constructor(
    private readonly url: string,
    private readonly lambda: string,
  ) {}

  /**
   * Never rejects. Connections to the worker are persistent, so that an answer that corrupts the next one is detected.
   */
  play(number: number, { bytes, cuts, then, method }: HostileAnswer): Promise<Played> {
    const body = JSON.stringify({ case: number, hex: bytes.toString('hex'), cuts, then });
    const headers = {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body),
      'X-Request-Id': requestId(number),
    };
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
 * The fault in one answer's outcome; undefined for a correct outcome.
 * @param clean the guest's previous answer cannot have affected this one
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
