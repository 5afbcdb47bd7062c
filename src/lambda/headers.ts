/** Headers between client, worker and sandbox, as raw lists `[name, value, name, value, …]`: duplicates and order stay. */

/** RFC 9110 §7.6.1 and the older ones that Go's ReverseProxy drops too: they belong to one connection only. */
const HOP_BY_HOP = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Between the worker and its guest only (docs/guest-protocol.md). */
const BOOT_HEADER = 'x-argyle-boot';

/** Host that lambdas see, as in the original, which calls them as http://root. */
const HOST = 'root';

/** What Go's client sends when nobody names an agent; lambdas of the original see it. */
const DEFAULT_USER_AGENT = 'Go-http-client/1.1';

type Pair = [name: string, lower: string, value: string];

function* pairs(raw: readonly string[]): Generator<Pair> {
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    yield [name, name.toLowerCase(), raw[i + 1] as string];
  }
}

/** Names that Connection headers list beside the fixed ones, in lower case. */
function connectionNamed(raw: readonly string[]): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (const [, lower, value] of pairs(raw)) {
    if (lower !== 'connection') continue;
    for (const token of value.split(',')) (named ??= new Set()).add(token.trim().toLowerCase());
  }
  return named;
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

/** The headers that a lambda gets for a client's request. */
export function toLambda(method: string, raw: readonly string[]): LambdaRequestHeaders {
  const named = connectionNamed(raw);
  const headers = ['Host', HOST];
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

export interface ClientResponseHeaders {
  headers: string[];
  /** The body is gzip that the client did not ask for. */
  gunzip: boolean;
  /** Declared length of the body as the client will see it. */
  length: number | undefined;
}

/** The headers that the client gets for a lambda's response. */
export function toClient(raw: readonly string[], decodeGzip: boolean): ClientResponseHeaders {
  const named = connectionNamed(raw);
  const gunzip = decodeGzip && headerValue(raw, 'content-encoding')?.trim().toLowerCase() === 'gzip';
  const headers: string[] = [];
  let length: number | undefined;
  for (const [name, lower, value] of pairs(raw)) {
    if (lower === BOOT_HEADER || HOP_BY_HOP.has(lower) || named?.has(lower) === true) continue;
    if (gunzip && (lower === 'content-encoding' || lower === 'content-length')) continue;
    if (lower === 'content-length') length = Number(value);
    headers.push(name, value);
  }
  return { headers, gunzip, length };
}

/** Undici's raw headers, buffers or strings, as strings; bytes above 127 stay what they are (latin1). */
export function rawStrings(raw: unknown): string[] {
  if (!Array.isArray(raw)) return [];
  return raw.map((part: unknown) => (Buffer.isBuffer(part) ? part.toString('latin1') : String(part)));
}
