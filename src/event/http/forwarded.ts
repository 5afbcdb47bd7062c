/** Builds the headers that tell a function its client's address and its own public URL. */
import type { IncomingMessage } from 'node:http';

/** RFC 9110's token. Forwarded needs quotes around any other value. */
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;
/** An IPv4 client on an IPv6 socket has an address of this form. */
const MAPPED_V4 = /^::ffff:(?=\d+\.)/i;

/** Headers that the worker sets itself. LENGTHS excludes most other headers before their names are converted. */
const GIVEN_ANEW = [
  'x-request-id',
  'host',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-prefix',
  'forwarded',
] as const;
type GivenAnew = (typeof GIVEN_ANEW)[number];
const LENGTHS = new Set<number>(GIVEN_ANEW.map((name) => name.length));
const isGivenAnew = (lower: string): lower is GivenAnew => (GIVEN_ANEW as readonly string[]).includes(lower);

export interface Forwarded {
  /** The function's headers, raw names and values. */
  headers: string[];
  /** The worker's origin as the client sees it; undefined when the request names no host. */
  origin: string | undefined;
}

const quoted = (value: string): string => (TOKEN.test(value) ? value : `"${value.replace(/["\\]/g, '\\$&')}"`);

/**
 * Splits the client's headers in one pass. Returns the headers that the worker sets; appends all other headers to
 * `others`, unchanged.
 */
function sorted(raw: readonly string[], others: string[]): Partial<Record<GivenAnew, string[]>> {
  const found: Partial<Record<GivenAnew, string[]>> = {};
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name = '', value = ''] = [raw[i], raw[i + 1]];
    const lower = LENGTHS.has(name.length) ? name.toLowerCase() : '';
    if (!isGivenAnew(lower)) others.push(name, value);
    else (found[lower] ??= []).push(value);
  }
  return found;
}

/** Joins the client's values and appends the worker's own value. */
const listed = (values: readonly string[] | undefined, own: string): string =>
  values === undefined ? own : [...values.filter((value) => value !== ''), own].join(', ');

/** The authority of the request: from an absolute target, else from Host. */
function authorityOf(target: string, hostHeader: string | undefined): string | undefined {
  const absolute = target.startsWith('/') ? undefined : /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(target)?.[1];
  const host = absolute ?? hostHeader;
  return host === '' ? undefined : host;
}

/**
 * Builds the headers of a function's request. Host is the client's own. The X-Forwarded-* headers and Forwarded contain
 * the client's address, its protocol, its host, and the path prefix of the function.
 *
 * POLICY: the worker keeps values from the request and appends its own, since the original passes all headers on.
 * Values from a proxy before the worker are therefore trusted. Values from a client without a proxy are trusted, too.
 * @param name the function's name
 * @param id of the call; it is the client's X-Request-Id if that value is valid (call/request-id.ts)
 * @param keepHost false drops Host, so that the function sees `root` as in the original
 */
export function forwarded(
  req: Pick<IncomingMessage, 'rawHeaders' | 'url'> & { socket: { remoteAddress?: string | undefined } },
  name: string,
  id: string,
  keepHost: boolean,
): Forwarded {
  const others: string[] = [];
  const sent = sorted(req.rawHeaders, others);
  const host = authorityOf(req.url ?? '', sent.host?.[0]);
  const peer = (req.socket.remoteAddress ?? 'unknown').replace(MAPPED_V4, '');
  const proto = sent['x-forwarded-proto']?.[0] ?? 'http';
  const outerHost = sent['x-forwarded-host']?.[0] ?? host;
  const outerPrefix = sent['x-forwarded-prefix']?.[0]?.replace(/\/+$/, '') ?? '';
  let own = `for=${quoted(peer.includes(':') ? `[${peer}]` : peer)};proto=http`;
  if (host !== undefined) own += `;host=${quoted(host)}`;

  const headers = keepHost && host !== undefined ? ['Host', host, ...others] : others;
  headers.push('X-Forwarded-For', listed(sent['x-forwarded-for'], peer));
  headers.push('X-Forwarded-Proto', proto);
  if (outerHost !== undefined) headers.push('X-Forwarded-Host', outerHost);
  headers.push('X-Forwarded-Prefix', `${outerPrefix}/run/${encodeURIComponent(name)}`);
  headers.push('X-Request-Id', id);
  headers.push('Forwarded', listed(sent.forwarded, own));
  return { headers, origin: outerHost === undefined ? undefined : `${proto}://${outerHost}${outerPrefix}` };
}
