/**
 * Redirects of functions. The worker follows redirects to the same function, so a client that follows none gets the
 * page. The worker passes other redirects on, in a form that the client can follow.
 */
import type { AnswerHead } from '../../../sandbox/answer/head';
import type { Invocation, ResponseSink } from './invocation';
import { InvocationBody } from './invocation';
import { headerValue, INTERNAL_HOST } from './headers';

/** Maximum number of redirects of a call. Go's HTTP client, and so the original, has the same limit. */
export const MAX_REDIRECTS = 10;
const TOO_MANY = `stopped after ${MAX_REDIRECTS} redirects`;

/**
 * Statuses of redirects. Those in CHANGES_METHOD change all methods but HEAD into GET, as in the original. Those in
 * KEEPS_METHOD keep the method.
 */
const CHANGES_METHOD = [301, 302, 303];
const KEEPS_METHOD = [307, 308];

/** Headers that describe a body. A GET that replaces a POST has no body, so these headers are removed. */
const ABOUT_BODY = /^(?:content-|transfer-encoding$|trailer$)/i;

/** The mount point of the function, `/run/<name>`, as it stands in the request. */
function mountOf(uri: string): string {
  return /^\/run\/[^/?#]*/.exec(uri)?.[0] ?? '';
}

function isBelow(path: string, mount: string): boolean {
  return mount !== '' && (path === mount || path.startsWith(`${mount}/`));
}

/** The only Location of a response, resolved against the request; undefined when there is none or more than one. */
function locationOf(headers: readonly string[], uri: string): URL | undefined {
  const values = headers.filter((_, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === 'location');
  const [value] = values;
  if (value === undefined || values.length > 1) return undefined;
  const base = `http://${INTERNAL_HOST}${uri}`;
  return URL.canParse(value, base) ? new URL(value, base) : undefined;
}

/** Whether the client used https, by the header of a proxy before the worker. */
function isSecure(call: Invocation): boolean {
  return /^\s*https\s*(?:,|$)/i.test(headerValue(call.headers, 'x-forwarded-proto') ?? '');
}

/**
 * Whether an address is that of the function itself: host `root`, or the authority that the client used.
 *
 * POLICY: an https address is external unless the client used https. If the worker repeated the call for such an
 * address, a function that requires https would redirect again and again. An http address is internal for every client:
 * the worker calls functions by http, so frameworks make absolute URLs with http.
 */
function isInternal(target: URL, call: Invocation): boolean {
  if (target.protocol !== 'http:' && !(target.protocol === 'https:' && isSecure(call))) return false;
  if (target.host === INTERNAL_HOST) return true;
  const host = headerValue(call.headers, 'host');
  const own = `${target.protocol}//${host ?? ''}`;
  return host !== undefined && URL.canParse(own) && new URL(own).host === target.host;
}

/** The request that follows a redirect; undefined when the client must follow. Pure. */
export function nextHop(call: Invocation, status: number, headers: readonly string[]): Invocation | undefined {
  const keeps = KEEPS_METHOD.includes(status);
  if (!keeps && !CHANGES_METHOD.includes(status)) return undefined;
  // POLICY: cookies belong to the client, and the next request must carry these cookies. Only the client can do that.
  if (call.unattended !== true && headerValue(headers, 'set-cookie') !== undefined) return undefined;
  const target = locationOf(headers, call.uri);
  if (target === undefined || !isInternal(target, call)) return undefined;
  if (!isBelow(target.pathname, mountOf(call.uri))) return undefined;
  const uri = target.pathname + target.search;
  if (keeps) return call.body.isRepeatable ? { ...call, uri } : undefined;
  if (call.method === 'HEAD') return { ...call, uri };
  const about = call.headers.filter((_, i, all) => !ABOUT_BODY.test(all[i - (i % 2)] ?? ''));
  return { ...call, uri, method: 'GET', headers: about, body: InvocationBody.empty() };
}

/**
 * The headers of a redirect that the client follows. The host `root` is replaced, because the client does not know it.
 * Pure.
 */
export function forClient(call: Invocation, headers: string[]): string[] {
  const target = locationOf(headers, call.uri);
  if (target?.host !== INTERNAL_HOST) return headers;
  // A redirect to https keeps its scheme. With http, the client would repeat the same request.
  const origin = target.protocol === 'https:' ? call.origin?.replace(/^http:/i, 'https:') : call.origin;
  const there = (origin ?? '') + target.pathname + target.search + target.hash;
  return headers.map((value, i) => {
    const isAbsolute = i % 2 === 1 && headers[i - 1]?.toLowerCase() === 'location' && /^(?:https?:)?\/\//i.test(value);
    return isAbsolute ? there : value;
  });
}

/**
 * Passes the response on to the client, unless the response is a redirect that the worker follows. In that case `next`
 * is the request that follows the redirect.
 */
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
    const next = nextHop(this.call, status, headers);
    if (this.mayFollow) this.next = next;
    if (this.next !== undefined) return;
    // A client gets the redirect itself. A trigger cannot follow it, so the call of a trigger fails.
    if (next !== undefined && this.call.unattended === true) this.call.sink.fail(TOO_MANY);
    else this.call.sink.start({ ...head, headers: forClient(this.call, headers) });
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

/** The first request of a call, and the requests that follow its redirects. */
export class Hops {
  private count = 0;
  private call: Invocation;
  private sink: HopSink;

  constructor(first: Invocation) {
    this.call = first;
    this.sink = new HopSink(first, true);
  }

  /** The request to send now. Its response goes to the client, or is a redirect that next() follows. */
  get current(): Invocation {
    return { ...this.call, sink: this.sink };
  }

  /** Whether the sandbox has already answered a request of this call. */
  get begun(): boolean {
    return this.count > 0;
  }

  /** Whether the last response was a redirect that the worker follows. The client has seen nothing of this redirect. */
  get isPending(): boolean {
    return this.sink.next !== undefined;
  }

  /** Moves to the next request. False when the last response was the answer. */
  next(): boolean {
    const { next } = this.sink;
    if (next === undefined) return false;
    this.count++;
    this.call = next;
    this.sink = new HopSink(next, this.count < MAX_REDIRECTS);
    return true;
  }
}
