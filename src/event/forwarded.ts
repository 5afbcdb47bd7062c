/** What a request says of the way that it came: for functions that make absolute URLs, or want to know their client. */
import type { IncomingMessage } from 'node:http';
import { headerValue } from '../lambda/headers';

/** RFC 9110's token; anything else must be quoted in Forwarded. */
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;
/** IPv4 clients of a socket that listens on IPv6, too. */
const MAPPED_V4 = /^::ffff:(?=\d+\.)/i;

/** Headers that are given anew; what the client sent of them is taken up in the new value. */
const GIVEN_ANEW = new Set([
  'host',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-prefix',
  'forwarded',
]);

export interface Forwarded {
  /** The function's headers, raw names and values. */
  headers: string[];
  /** How the client reaches the worker; undefined when it names no host. */
  origin: string | undefined;
}

const quoted = (value: string): string => (TOKEN.test(value) ? value : `"${value.replace(/["\\]/g, '\\$&')}"`);

/** All values of a header that is a list. */
function listOf(raw: readonly string[], lowerName: string): string[] {
  return raw.filter((value, i) => i % 2 === 1 && raw[i - 1]?.toLowerCase() === lowerName && value !== '');
}

/** The authority that the client meant: that of an absolute target, else Host. */
function authorityOf(target: string, raw: readonly string[]): string | undefined {
  const absolute = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(target)?.[1];
  const host = absolute ?? headerValue(raw, 'host');
  return host === '' ? undefined : host;
}

/**
 * The headers of a function's request. Host is the client's own, and the X-Forwarded-* headers and Forwarded tell the
 * client's address, its protocol, the host that it used and the path below which the function is.
 *
 * POLICY: values that come with the request are kept, and what the worker knows stands behind them, as the original
 * passes all headers on: a proxy before the worker that sets them is believed, and so is a client without a proxy.
 * @param name the function's name
 * @param keepHost false leaves Host out, so that the function sees `root` as in the original
 */
export function forwarded(
  req: Pick<IncomingMessage, 'rawHeaders' | 'url'> & { socket: { remoteAddress?: string | undefined } },
  name: string,
  keepHost: boolean,
): Forwarded {
  const raw = req.rawHeaders;
  const host = authorityOf(req.url ?? '', raw);
  const peer = (req.socket.remoteAddress ?? 'unknown').replace(MAPPED_V4, '');
  const proto = headerValue(raw, 'x-forwarded-proto') ?? 'http';
  const outerHost = headerValue(raw, 'x-forwarded-host') ?? host;
  const outerPrefix = (headerValue(raw, 'x-forwarded-prefix') ?? '').replace(/\/+$/, '');
  const pairs = [`for=${quoted(peer.includes(':') ? `[${peer}]` : peer)}`, `proto=http`];
  if (host !== undefined) pairs.push(`host=${quoted(host)}`);

  const headers = keepHost && host !== undefined ? ['Host', host] : [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [key = '', value = ''] = [raw[i], raw[i + 1]];
    if (!GIVEN_ANEW.has(key.toLowerCase())) headers.push(key, value);
  }
  headers.push('X-Forwarded-For', [...listOf(raw, 'x-forwarded-for'), peer].join(', '));
  headers.push('X-Forwarded-Proto', proto);
  if (outerHost !== undefined) headers.push('X-Forwarded-Host', outerHost);
  headers.push('X-Forwarded-Prefix', `${outerPrefix}/run/${encodeURIComponent(name)}`);
  headers.push('Forwarded', [...listOf(raw, 'forwarded'), pairs.join(';')].join(', '));
  return { headers, origin: outerHost === undefined ? undefined : `${proto}://${outerHost}${outerPrefix}` };
}
