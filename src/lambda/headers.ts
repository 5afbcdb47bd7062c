/** Headers between client, worker and sandbox, as raw lists `[name, value, name, value, …]`: duplicates and order stay. */

import { connectionNamed, HOP_BY_HOP, type AnswerHead } from '../sandbox/answer/head';

/** The authority of every sandbox, as in the original, which calls them as http://root. */
export const INTERNAL_HOST = 'root';

/** What Go's client sends when nobody names an agent; lambdas of the original see it. */
const DEFAULT_USER_AGENT = 'Go-http-client/1.1';

type Pair = [name: string, lower: string, value: string];

function* pairs(raw: readonly string[]): Generator<Pair> {
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    yield [name, name.toLowerCase(), raw[i + 1] as string];
  }
}

/** First value of a header, undefined when absent. @param lowerName in lower case */
export function headerValue(raw: readonly string[], lowerName: string): string | undefined {
  for (const [, lower, value] of pairs(raw)) if (lower === lowerName) return value;
  return undefined;
}

export interface LambdaRequestHeaders {
  headers: string[];
  /** The worker asked for gzip on its own account, so it must decode the answer. */
  decodeGzip: boolean;
}

/** The headers that a lambda gets for a client's request; one without a Host gets INTERNAL_HOST. */
export function toLambda(method: string, raw: readonly string[]): LambdaRequestHeaders {
  const named = connectionNamed(raw);
  const headers = ['Host', headerValue(raw, 'host') ?? INTERNAL_HOST];
  let agent = false;
  let encoding = false;
  let range = false;
  for (const [name, lower, value] of pairs(raw)) {
    // The worker has answered `Expect: 100-continue` itself by reading the body.
    if (lower === 'host' || lower === 'expect' || HOP_BY_HOP.has(lower) || named?.has(lower) === true) continue;
    agent ||= lower === 'user-agent';
    encoding ||= lower === 'accept-encoding';
    range ||= lower === 'range';
    headers.push(name, value);
  }
  if (!agent) headers.push('User-Agent', DEFAULT_USER_AGENT);
  // As Go's client: not for HEAD, nor for a range, which counts bytes of the encoded form.
  const decodeGzip = !encoding && !range && method !== 'HEAD';
  if (decodeGzip) headers.push('Accept-Encoding', 'gzip');
  return { headers, decodeGzip };
}

/** Whether the body is gzip that the client did not ask for, so that the worker decodes it. @param asked see decodeGzip */
export function mustDecode(head: AnswerHead, asked: boolean): boolean {
  if (!asked || head.bodiless || head.length === 0) return false;
  return headerValue(head.headers, 'content-encoding')?.toLowerCase() === 'gzip';
}

/** The head of an answer whose body the worker decodes: neither encoding nor length are the client's. */
export function decodedHead(head: AnswerHead): AnswerHead {
  const headers: string[] = [];
  for (const [name, lower, value] of pairs(head.headers)) {
    if (lower !== 'content-encoding' && lower !== 'content-length') headers.push(name, value);
  }
  return { ...head, headers, length: undefined };
}
