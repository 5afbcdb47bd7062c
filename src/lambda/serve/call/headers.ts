/** Headers between client, worker and sandbox. Raw lists `[name, value, name, value, …]` keep duplicates and order. */

import { connectionNamed, HOP_BY_HOP, type AnswerHead } from '../../../sandbox/answer/head';

/** The authority of every sandbox. The original calls sandboxes as http://root. */
export const INTERNAL_HOST = 'root';

/** The User-Agent of Go's client when the request has none. Functions of the original see this value. */
const DEFAULT_USER_AGENT = 'Go-http-client/1.1';

/** First value of a header, undefined when absent. @param lowerName in lower case */
export function headerValue(raw: readonly string[], lowerName: string): string | undefined {
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    if (name.length === lowerName.length && name.toLowerCase() === lowerName) return raw[i + 1];
  }
  return undefined;
}

export interface LambdaRequestHeaders {
  headers: string[];
  /** The worker itself asked for gzip, so the worker must decode the answer. */
  decodeGzip: boolean;
}

/** The headers of a client's request, as a function gets them. Without a Host header, the host is INTERNAL_HOST. */
export function toLambda(method: string, raw: readonly string[]): LambdaRequestHeaders {
  const named = connectionNamed(raw);
  const headers = ['Host', headerValue(raw, 'host') ?? INTERNAL_HOST];
  let agent = false;
  let encoding = false;
  let range = false;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    const lower = name.toLowerCase();
    // The worker answers `Expect: 100-continue` itself by reading the body.
    if (lower === 'host' || lower === 'expect' || HOP_BY_HOP.has(lower) || named?.has(lower) === true) continue;
    agent ||= lower === 'user-agent';
    encoding ||= lower === 'accept-encoding';
    range ||= lower === 'range';
    headers.push(name, raw[i + 1] as string);
  }
  if (!agent) headers.push('User-Agent', DEFAULT_USER_AGENT);
  // Go's client asks for gzip under the same conditions. The answer to HEAD has no body, and a range counts bytes of
  // the encoded form.
  const decodeGzip = !encoding && !range && method !== 'HEAD';
  if (decodeGzip) headers.push('Accept-Encoding', 'gzip');
  return { headers, decodeGzip };
}

/** Whether the worker must decode the body, because the client did not ask for gzip. @param asked see decodeGzip */
export function mustDecode(head: AnswerHead, asked: boolean): boolean {
  if (!asked || head.bodiless || head.length === 0) return false;
  return headerValue(head.headers, 'content-encoding')?.toLowerCase() === 'gzip';
}

/**
 * The head of an answer whose body the worker decodes. Content-Encoding and Content-Length are removed, because they
 * describe the encoded body.
 */
export function decodedHead(head: AnswerHead): AnswerHead {
  const headers: string[] = [];
  for (let i = 0; i + 1 < head.headers.length; i += 2) {
    const [name = '', value = ''] = head.headers.slice(i, i + 2);
    const lower = name.toLowerCase();
    if (lower !== 'content-encoding' && lower !== 'content-length') headers.push(name, value);
  }
  return { ...head, headers, length: undefined };
}
