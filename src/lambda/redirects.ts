/**
 * Redirects of functions. The worker follows those that stay with the function, so that a client which follows none gets
 * the page; it passes the others on, in a form that the client can follow.
 */
import type { AnswerHead } from '../sandbox/answer/head';
import type { Invocation, ResponseSink } from './invocation';
import { InvocationBody } from './invocation';
import { headerValue, INTERNAL_HOST } from './headers';

/** As many as Go's HTTP client follows, and so the original. */
export const MAX_REDIRECTS = 10;

/** Statuses whose Location leads to the answer; the first three turn all methods but HEAD into GET, as in the original. */
const CHANGES_METHOD = [301, 302, 303];
const KEEPS_METHOD = [307, 308];

/** Headers about a body, which a GET that follows a POST has none of. */
const ABOUT_BODY = /^(?:content-|transfer-encoding$|trailer$)/i;

/** The function's own paths: `/run/<name>`, as it stands in the request. */
function mountOf(uri: string): string {
  return /^\/run\/[^/?#]*/.exec(uri)?.[0] ?? '';
}

function isBelow(path: string, mount: string): boolean {
  return mount !== '' && (path === mount || path.startsWith(`${mount}/`));
}

/** The one Location of a response, resolved against the request; undefined when there is none or several. */
function locationOf(headers: readonly string[], uri: string): URL | undefined {
  const values = headers.filter((_, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === 'location');
  const [value] = values;
  if (value === undefined || values.length > 1) return undefined;
  const base = `http://${INTERNAL_HOST}${uri}`;
  return URL.canParse(value, base) ? new URL(value, base) : undefined;
}

/** Whether an address means the function itself: as `root`, or by the authority that the client used. */
function isInternal(target: URL, host: string | undefined): boolean {
  if (target.protocol !== 'http:' && target.protocol !== 'https:') return false;
  if (target.host === INTERNAL_HOST) return true;
  const own = `${target.protocol}//${host ?? ''}`;
  return host !== undefined && URL.canParse(own) && new URL(own).host === target.host;
}

/** The request that follows a redirect, undefined when it is the client's to follow. Pure. */
export function nextHop(call: Invocation, status: number, headers: readonly string[]): Invocation | undefined {
  const keeps = KEEPS_METHOD.includes(status);
  if (!keeps && !CHANGES_METHOD.includes(status)) return undefined;
  // POLICY: cookies belong to the client, and the next request must carry them: only the client can do that.
  if (headerValue(headers, 'set-cookie') !== undefined) return undefined;
  const target = locationOf(headers, call.uri);
  if (target === undefined || !isInternal(target, headerValue(call.headers, 'host'))) return undefined;
  if (!isBelow(target.pathname, mountOf(call.uri))) return undefined;
  const uri = target.pathname + target.search;
  if (keeps) return call.body.isRepeatable ? { ...call, uri } : undefined;
  if (call.method === 'HEAD') return { ...call, uri };
  const about = call.headers.filter((_, i, all) => !ABOUT_BODY.test(all[i - (i % 2)] ?? ''));
  return { ...call, uri, method: 'GET', headers: about, body: InvocationBody.empty() };
}

/** The headers of a redirect that the client is to follow: `root` means nothing to it. Pure. */
export function forClient(call: Invocation, headers: string[]): string[] {
  const target = locationOf(headers, call.uri);
  if (target?.host !== INTERNAL_HOST) return headers;
  const there = (call.origin ?? '') + target.pathname + target.search + target.hash;
  return headers.map((value, i) => {
    const isAbsolute = i % 2 === 1 && headers[i - 1]?.toLowerCase() === 'location' && /^(?:https?:)?\/\//i.test(value);
    return isAbsolute ? there : value;
  });
}

/** The client's sink, but for redirects that are followed: `next` is the request to make in place of them. */
class HopSink implements ResponseSink {
  next: Invocation | undefined;

  constructor(
    private readonly call: Invocation,
    private readonly mayFollow: boolean,
  ) {}

  start(head: AnswerHead): void {
    const { status, headers } = head;
    if (status < 300 || status >= 400) {
      this.call.sink.start(head);
      return;
    }
    if (this.mayFollow) this.next = nextHop(this.call, status, headers);
    if (this.next === undefined) this.call.sink.start({ ...head, headers: forClient(this.call, headers) });
  }

  write(chunk: Buffer): boolean {
    return this.next !== undefined || this.call.sink.write(chunk);
  }

  onDrain(resume: () => void): void {
    this.call.sink.onDrain(resume);
  }

  end(): void {
    if (this.next === undefined) this.call.sink.end();
  }

  fail(text: string): void {
    if (this.next === undefined) this.call.sink.fail(text);
  }
}

/** A request and those that follow its redirects, one after the other. */
export class Hops {
  private count = 0;
  private call: Invocation;
  private sink: HopSink;

  constructor(first: Invocation) {
    this.call = first;
    this.sink = new HopSink(first, true);
  }

  /** What to send now: the response goes to the client, or to next(). */
  get current(): Invocation {
    const { method, uri, headers, body, signal } = this.call;
    return { method, uri, headers, body, signal, sink: this.sink };
  }

  /** Whether the sandbox has answered a request of this call already. */
  get begun(): boolean {
    return this.count > 0;
  }

  /** Whether the last response was a redirect to be followed, of which the client has seen nothing. */
  get isPending(): boolean {
    return this.sink.next !== undefined;
  }

  /** Takes the next step. False when the last response was the answer. */
  next(): boolean {
    const { next } = this.sink;
    if (next === undefined) return false;
    this.count++;
    this.call = next;
    this.sink = new HopSink(next, this.count < MAX_REDIRECTS);
    return true;
  }
}
